// BullMQ, 50 jobs at a time, nothing kept of a finished one.
const common = require('./common.cjs');
const { Queue, Worker } = require('bullmq');

const connection = { host: common.HOST, port: common.PORT };
if (common.WORKS) {
  new Worker('bench', async job => common.handle(job.data), {
    connection, concurrency: 50, removeOnComplete: { count: 0 } });
} else {
  const queue = new Queue('bench', { connection });
  queue.waitUntilReady().then(() => common.produce(
    job => queue.add('n', job),
    jobs => queue.addBulk(jobs.map(data => ({ name: 'n', data })))));
}
