// The same counter in Node, with the same scripts; see __main__.py.
//
//   npm install; node counter.js 6379 watch visits
//
// Written for thoonk.js 1.0. Where that is not installed, thoonk_on_redis.js stands in for it.
'use strict';

const path = require('path');

let library;
try {
  library = require(process.env.THOONK_JS || 'thoonk');
} catch (error) {
  if (process.env.THOONK_JS || error.code !== 'MODULE_NOT_FOUND') throw error;
  library = require('./thoonk_on_redis');
}

function Counter(name, thoonk) {
  library.ThoonkBaseObject.call(this, name, thoonk);
  this.objtype = 'counter';
  this.subscribables = ['changed', 'limited'];
}

Counter.prototype = Object.create(library.ThoonkBaseObject.prototype);
Counter.prototype.constructor = Counter;
Counter.prototype.objtype = 'counter';
Counter.prototype.scriptdir = path.join(__dirname, 'lua');

for (const verb of ['add', 'get', 'limit', 'reset']) {
  Counter.prototype[verb] = function (...args) {
    const done = args.pop();
    this.runScript(verb, args, done);
  };
}

const [port, verb, name, ...args] = process.argv.slice(2);
const thoonk = library.createClient({ host: '127.0.0.1', port: Number(port) });

thoonk.registerObject('Counter', Counter, (failed) => {
  if (failed) throw new Error(failed);
  const counter = thoonk.objects.Counter(name);
  if (verb === 'watch') {
    counter.subscribe(() => {
      counter.subscription.on('all', (entry, message) => console.log(entry, message));
      console.log('ready');
    });
    return;
  }
  counter[verb](...args, (error, ...values) => {
    if (error) console.log(`error ${error}: ${values.join(' of ')}`);
    else console.log('answer', ...(values.length ? values : [null]).map((each) => JSON.stringify(each)));
    thoonk.quit();
  });
});
