// bee-queue, 50 jobs at a time. VARIANT lean: no events, and nothing kept of a finished job.
const common = require('./common.cjs');
const Queue = require('bee-queue');

const lean = common.VARIANT === 'lean', works = common.WORKS;
const queue = new Queue('bench', {
  redis: { host: common.HOST, port: common.PORT },
  isWorker: works,
  getEvents: !works && !lean,
  sendEvents: !lean,
  storeJobs: !works && !lean,
  removeOnSuccess: lean,
});
queue.on('ready', () => {
  if (works) queue.process(50, async job => common.handle(job.data));
  else {
    common.produce(
      job => queue.createJob(job).save(),
      jobs => queue.saveAll(jobs.map(job => queue.createJob(job))));
  }
});
