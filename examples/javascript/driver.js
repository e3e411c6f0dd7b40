// A driver for `python -m txthoonk conformance`: Thoonk in JavaScript, by txThoonk's own scripts.
// node driver.js FOLDER, where FOLDER has manifest.json and the Lua files: txthoonk/lua
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Scripts, fail } from './scripts.js';

const instance = randomUUID();
const scripts = new Scripts(process.argv[2]);
const { manifest } = scripts;
const send = (...words) => scripts.send(...words);
const spelt = (name, feed) => scripts.spelt(name, feed);
const call = (feed, name, ...args) => scripts.call(feed, name, ...args);
const heard = {}; // what was heard of each feed

const blank = ([option, value]) => option === 'max_length' && `${value}` === '0';
const options = (config = {}, keep = true) => Object.entries(config).filter((pair) => keep || !blank(pair))
  .flatMap((pair) => [pair[0], blank(pair) ? '' : `${pair[1]}`]);
const only = (revision) => (revision === undefined ? [] : [`${revision}`]); // may be missing
const pairs = (list) => Array.from({ length: list.length / 2 }, (_, i) => list.slice(2 * i, 2 * i + 2));
const one = ([verdict]) => (verdict === 1 ? null : fail(manifest.errors[`${verdict}`.split(' ')[0]]));
const beside = (where) => async ({ feed, rel, item, if_revision: rev }) =>
  (await call(feed, 'sorted_feed/insert', where, rel, item, ...only(rev)))[0];
const end = (position) => async ({ feed, item, if_revision: rev }) =>
  (await call(feed, 'sorted_feed/publish', position, item, ...only(rev)))[0];
const move = (place) => async ({ feed, id, rel, position, if_revision: rev }) => {
  const [where, pivot = ''] = place(rel, position);
  if (pivot === id) fail('ValueError');
  await call(feed, 'sorted_feed/move', id, where, pivot, ...only(rev));
};
const parsed = (_, position) => ({ 'begin:': ['begin'], ':end': ['end'] })[position]
  ?? (position[0] === ':' ? ['BEFORE', position.slice(1)] : ['AFTER', position.slice(0, -1)]);
const take = (script, size) => async function taking({ feed, timeout }, handed = '', last = false) {
  const token = script === 'job/claim' ? [`${instance}:${randomUUID()}`] : [];
  const found = (await call(feed, script, '1', handed, ...token)).slice(size);
  if (found.length || last) return found.length ? found : fail('Empty');
  const next = await send('BLMOVE', spelt('ids', feed), spelt('handoff', feed), 'RIGHT', 'LEFT', `${timeout}`);
  return taking({ feed, timeout }, next ?? '', true); // where Redis let it wait in vain it looks once more
};
const get = { queue: take('queue/take', 0), job: take('job/claim', 3) };
const raw = (...words) => ({ feed, id }) => send(words[0], spelt(words[1], feed), ...words.slice(2), ...(id ? [id] : []));

const verbs = {
  create: ({ feed, type, config }) => call(feed, 'instance/create', feed, instance, 'type', type, ...options(config, false)).then(() => null),
  ensure: ({ feed, type, config }) => call(feed, 'instance/ensure', feed, instance, type, ...options(config)).then(() => null),
  set_config: ({ feed, config }) => call(feed, 'instance/set_config', feed, instance, ...options(config)).then(() => null),
  get_config: async ({ feed }) => Object.fromEntries(pairs((await call(feed, 'instance/get_config', feed)).map(String))),
  delete: ({ feed }) => call(feed, 'instance/delete', feed, instance).then(() => null),
  exists: ({ feed }) => send('SISMEMBER', 'feeds', feed).then(Boolean),
  feed_names: () => send('SMEMBERS', 'feeds'),
  'feed.publish': async ({ feed, item, id = randomUUID(), if_revision: rev, ttl }) => {
    const stays = ttl === undefined ? ['feed/publish'] : ['feed/publish_for', feed, `${ttl * 1000}`];
    await call(feed, ...stays, id, item, ...only(rev));
    return id;
  },
  'feed.maintenance': async ({ feed }) => { while ((await call(feed, 'feed/expire', feed, '100'))[1] === 0); return null; },
  'feed.retract': ({ feed, id, if_revision: rev }) => call(feed, 'feed/retract', id, ...only(rev)).then(Boolean),
  'feed.get_ids': raw('ZRANGE', 'ids', '0', '-1'), 'feed.get_item': raw('HGET', 'items'),
  'feed.get_all': async ({ feed }) => pairs(await call(feed, 'feed/get_all')),
  'sorted.append': end(':end'), 'sorted.prepend': end('begin:'),
  'sorted.publish_before': beside('BEFORE'), 'sorted.publish_after': beside('AFTER'),
  'sorted.edit': async ({ feed, id, item, if_revision: rev }) => { await call(feed, 'sorted_feed/edit', id, item, ...only(rev)); return id; },
  'sorted.retract': ({ feed, id, if_revision: rev }) => call(feed, 'sorted_feed/retract', id, ...only(rev)).then(Boolean),
  'sorted.move': move(parsed), 'sorted.move_first': move(() => ['begin']), 'sorted.move_last': move(() => ['end']),
  'sorted.move_before': move((rel) => ['BEFORE', rel]), 'sorted.move_after': move((rel) => ['AFTER', rel]),
  'sorted.get_ids': raw('LRANGE', 'ids', '0', '-1'), 'sorted.get_item': raw('HGET', 'items'),
  'sorted.get_all': async ({ feed }) => pairs(await call(feed, 'sorted_feed/get_all')),
  'queue.put': async ({ feed, item, priority, id = randomUUID() }) => { await call(feed, 'queue/put', priority ? 'RPUSH' : 'LPUSH', id, item); return id; },
  'queue.get': async (args) => (await get.queue(args))[1], 'queue.get_ids': raw('LRANGE', 'ids', '0', '-1'),
  'job.put': async ({ feed, item, priority, id = randomUUID() }) => { await call(feed, 'job/put', priority ? 'RPUSH' : 'LPUSH', '0', id, item); return id; },
  'job.get': (args) => get.job(args),
  'job.finish': async ({ feed, id, result }) => one(await call(feed, 'job/finish', '', id, '', result === undefined ? '' : Buffer.concat([Buffer.from('+'), Buffer.from(result)]))),
  'job.cancel': ({ feed, id }) => call(feed, 'job/cancel', 'cancelled', id, '', '0', instance, '').then(() => null),
  'job.stall': ({ feed, id }) => call(feed, 'job/stall', id, '', '', instance, '').then(() => null),
  'job.retry': ({ feed, id }) => call(feed, 'job/retry', id).then(() => null),
  'job.retract': ({ feed, id }) => call(feed, 'job/retract', id).then(Boolean),
  'job.get_ids': raw('HKEYS', 'items'), 'job.get_failure_count': async (args) => +(await raw('HGET', 'cancelled')(args) ?? 0),
};
const events = Object.entries(manifest.events).map(([name, [kind]]) => [name, kind])
  .filter(([, { channel }]) => !manifest.names[channel].startsWith('tx.'));
for (const [name] of events) verbs[`listen.${name}`] = null;
const hidden = {
  async hello({ redis: url }) {
    await scripts.connect(url);
    return { driver: `JavaScript (node ${process.versions.node})`, instance, parts: ['contract', 'revisions'], verbs: Object.keys(verbs) };
  },
  async listen({ feed }) {
    heard[feed] = [];
    for (const [event, { channel, parts }] of events) {
      await scripts.subscriber.subscribe(spelt(channel, feed), (message) => {
        const nul = parts.length < 2 ? -1 : message.indexOf(0);
        const [first, second] = nul < 0 ? [message, null] : [message.subarray(0, nul), message.subarray(nul + 1)];
        const told = { event, feed, [parts[0]]: first, ...(parts[1] && { [parts[1]]: second }) };
        if (`${told.feed}` === feed) heard[feed].push(told);
      }, true);
    }
    return null;
  },
  heard: async ({ feed }) => heard[feed].splice(0),
};

const toJson = (value) => { // text where it is UTF-8, else {base64}
  if (Buffer.isBuffer(value)) return Buffer.from(`${value}`).equals(value) ? `${value}` : { base64: value.toString('base64') };
  if (Array.isArray(value)) return value.map(toJson);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, toJson(each)]));
  return value;
};
const fromJson = (_, value) => (value?.base64 === undefined ? value : Buffer.from(value.base64, 'base64'));
for await (const line of createInterface({ input: process.stdin })) {
  const { id, verb, args } = JSON.parse(line, fromJson);
  const reply = await (verbs[verb] ?? hidden[verb])(args).then((returned) => ({ returned }),
    ({ name, message, details }) => ({ raised: name, says: message, details }));
  console.log(JSON.stringify({ id, ...toJson(reply) }));
}
process.exit(0);
