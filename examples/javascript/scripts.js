// txThoonk's scripts for a program in JavaScript, by their manifest alone: no key is spelt here.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createClient, RESP_TYPES } from 'redis';

const BYTES = { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } }; // replies as they are

export const fail = (name, details) => { throw Object.assign(Error(name), { name, details }); };

export class Scripts {
  constructor(folder) {
    const read = (file) => readFileSync(`${folder}/${file}`, 'utf8');
    const body = (lines) => lines.slice(lines.findIndex((line) => !line.startsWith('--'))).join('\n');
    const whole = (name) => read(`${name}.lua`)
      .replace(/^-- include (\w+)\n/gm, (_, part) => body(read(`${part}.lua`).split('\n')))
      .replace(/^-- script (\w+)\/(\w+)\n/gm, (_, kind, verb) => `local function ${kind}_${verb}(KEYS, ARGV, redis)\n`
        + `${body(whole(`${kind}/${verb}`).split('\n'))}end -- ${kind}/${verb}\n`);
    this.manifest = JSON.parse(read('manifest.json'));
    this.sources = {};
    for (const [name, { sha1 }] of Object.entries(this.manifest.scripts)) {
      const source = whole(name);
      if (createHash('sha1').update(source).digest('hex') !== sha1) throw Error(`${name} is another one`);
      this.sources[name] = source;
    }
  }

  async connect(url) {
    const { protocol, pathname, searchParams } = new URL(url);
    const isSocket = protocol.includes('unix');
    this.db = +(searchParams.get('db') ?? (isSocket ? 0 : pathname.slice(1))) || 0;
    this.redis = createClient(isSocket ? { socket: { path: decodeURI(pathname) }, database: this.db } : { url });
    this.subscriber = this.redis.duplicate();
    await Promise.all([this.redis.connect(), this.subscriber.connect()]);
  }

  send(...words) { return this.redis.sendCommand(words, BYTES); }

  spelt(name, feed) { // a key or channel of a feed
    return this.manifest.names[name].replace('[db]', this.db)
      .replace('[start]', () => feed.split(':', 2).join(':')).replace('[feed]', () => feed);
  }

  async call(feed, name, ...args) { // its keys and channels come before the arguments
    const { keys, arguments: parameters, sha1 } = this.manifest.scripts[name];
    const names = keys.flatMap((key) => (key.type === 'keys' ? this.manifest.groups[key.name] : [key.name]));
    const channels = parameters.filter(({ type }) => type === 'channel').map((channel) => channel.name);
    const words = [`${names.length}`, ...[...names, ...channels].map((each) => this.spelt(each, feed)), ...args];
    let reply;
    try {
      reply = await this.send('EVALSHA', sha1, ...words).catch((error) => {
        if (!error.message.startsWith('NOSCRIPT')) throw error;
        return this.send('EVAL', this.sources[name], ...words);
      });
    } catch (error) {
      const code = error.message.split(' ').find((word) => word in this.manifest.errors);
      throw code ? Object.assign(error, { name: this.manifest.errors[code] }) : error;
    }
    const [word, last, of, item] = Array.isArray(reply) ? reply : [];
    if (`${word}` !== 'CONFLICT') return reply;
    return fail('Conflict', { revision: +(item ? of : last), feed_revision: +last, item: item ?? null });
  }
}
