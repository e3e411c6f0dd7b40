// Scripted objects as thoonk.js 1.0 has them, on today's `redis` from npm: enough for counter.js.
//
// An object calls EVALSHA sha 0 NAME arg...; the reply is a list, the error first, and its
// callback gets it spread. Events come on event.OBJTYPE.ENTRY:NAME.
'use strict';

const EventEmitter = require('events');
const fs = require('fs');
const path = require('path');
const { createClient } = require('redis');

class Thoonk extends EventEmitter {
  constructor({ host = 'localhost', port = 6379 } = {}) {
    super();
    this.objects = {};
    this.shas = {};
    this.redis = createClient({ socket: { host, port } });
    this.lredis = createClient({ socket: { host, port } });
    this.connected = Promise.all([this.redis.connect(), this.lredis.connect()]);
  }

  registerObject(name, Model, done) {
    const { scriptdir, objtype } = Model.prototype;
    this.objects[name] = (objectName) => new Model(objectName, this);
    this.shas[objtype] = {};
    const load = async (file) => {
      const script = fs.readFileSync(path.join(scriptdir, file), 'utf8');
      this.shas[objtype][path.basename(file, '.lua')] = await this.redis.scriptLoad(script);
    };
    const files = fs.readdirSync(scriptdir).filter((file) => file.endsWith('.lua'));
    this.connected
      .then(() => Promise.all(files.map(load)))
      .then(() => done(false), (error) => done(error.message));
  }

  quit() {
    this.redis.destroy();
    this.lredis.destroy();
  }
}

function ThoonkBaseObject(name, thoonk) {
  EventEmitter.call(this);
  this.name = name;
  this.thoonk = thoonk;
  this.subscription = null;
}

ThoonkBaseObject.prototype = Object.create(EventEmitter.prototype);

Object.assign(ThoonkBaseObject.prototype, {
  handleEvent(channel, message) {},

  runScript(verb, args, done) {
    const sha = this.thoonk.shas[this.objtype][verb];
    this.thoonk.redis
      .sendCommand(['EVALSHA', sha, '0', this.name, ...args.map(String)])
      .then((reply) => done(...reply), (error) => done(error.message));
  },

  subscribe(done) {
    if (this.subscription) {
      done(false, this.subscription);
      return;
    }
    const subscription = (this.subscription = new EventEmitter());
    const heard = (entry) => (message, channel) => {
      this.handleEvent(channel, message);
      subscription.emit(entry, message);
      subscription.emit('all', entry, message);
    };
    const subscribed = this.subscribables.map((entry) =>
      this.thoonk.lredis.subscribe(`event.${this.objtype}.${entry}:${this.name}`, heard(entry)),
    );
    Promise.all(subscribed).then(() => done(false, subscription));
  },
});

module.exports = { Thoonk, ThoonkBaseObject, createClient: (config) => new Thoonk(config) };
