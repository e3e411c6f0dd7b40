// A page without a browser: node client.js eventsource|ws URL WANTED, where WANTED is JSON, {"feeds": [...],
// "patterns": [...]}. It writes what it is told, a line each: `open`, `lost`, `told` and the message.
import { EventSource } from 'eventsource';
import WebSocket from 'ws';

const AGAIN = 100; // milliseconds until a socket that was lost is opened again
const [kind, url, words] = process.argv.slice(2);
const wanted = JSON.parse(words);
const say = (...parts) => process.stdout.write(`${parts.join(' ')}\n`);

function eventSource() { // resumes by itself
  const query = [
    ...wanted.feeds.map((name) => `feed=${encodeURIComponent(name)}`),
    ...wanted.patterns.map((name) => `pattern=${encodeURIComponent(name)}`),
  ];
  const source = new EventSource(`${url}/stream?${query.join('&')}`);
  source.onopen = () => say('open');
  source.onmessage = ({ data }) => say('told', data);
  source.onerror = () => {
    say('lost');
    if (source.readyState === EventSource.CLOSED) throw Error('it has given up');
  };
}

function socket() { // keeps where it is in each feed, and says so when it comes back
  const at = {};
  const open = () => {
    const ws = new WebSocket(`${url.replace('http', 'ws')}/socket`);
    ws.on('open', () => {
      say('open');
      const feeds = Object.fromEntries(wanted.feeds.map((name) => [name, at[name] ?? null]));
      const others = Object.fromEntries(Object.entries(at).filter(([name]) => !(name in feeds)));
      const patterns = Object.fromEntries(wanted.patterns.map((name) => [name, others]));
      ws.send(JSON.stringify({ subscribe: { feeds, patterns }, ref: 1 }));
    });
    ws.on('message', (data) => {
      const message = JSON.parse(data);
      if (message.at) at[message.feed] = message.at;
      if (message.type === 'deleted') delete at[message.feed];
      say('told', data);
    });
    ws.on('error', () => {}); // it is closed next
    ws.on('close', () => {
      say('lost');
      setTimeout(open, AGAIN);
    });
  };
  open();
}

process.stdin.on('end', () => process.exit(0)).resume(); // who has started it is gone
({ eventsource: eventSource, ws: socket })[kind]();
