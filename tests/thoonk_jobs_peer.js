// A program on thoonk-jobs: node thoonk_jobs_peer.js PORT NAME put|work COUNT
//
// `put` puts so many jobs and prints the result of each; `work` does so many, and prints them.
'use strict';
const thoonk = require('thoonk').createClient({ host: '127.0.0.1', port: +process.argv[2] });
const Jobs = require('thoonk-jobs');
const [, , , name, what, count] = process.argv;

function told(...parts) {
  console.log(JSON.stringify(parts));
}

thoonk.registerType('Job', Jobs, 'object', (error) => {
  if (error) throw error;
  const jobs = thoonk.objects.Job(name);
  let left = +count;
  const done = () => (left -= 1) || setTimeout(() => process.exit(0), 50);
  if (what === 'put') {
    jobs.subscribe(() => thoonk.lredis.once('subscribe', () => {
      for (let n = 0; n < count; n += 1) {
        const onFinish = (_, id, result) => { told('result', n, result); done(); };
        jobs.put({ n }, { id: `js${n}`, onFinish }, () => {});
      }
    }));
    return;
  }
  const next = () => jobs.get(0, (problem, item, id) => {
    if (problem) throw new Error(problem);
    told('item', id, JSON.parse(item));
    jobs.finish(id, `js did ${id}`, () => { done(); if (left) next(); });
  });
  next();
});
