// The same as common.py, for node.
const fs = require('fs');
const [MODE, jobs, HOST, port, VARIANT = ''] = process.argv.slice(2);
const JOBS = +jobs, PORT = +port;
const WORKS = MODE === 'drain' || MODE === 'latency';
const IN_FLIGHT = 50, MANY = 1000, PACE = 200, WARM = Math.min(100, Math.floor(JOBS / 11));
const PAD = 'x'.repeat(56);

const now = () => Number(process.hrtime.bigint());
const payload = number => ({ id: number, t: now(), pad: PAD });
const tell = numbers => fs.writeSync(1, JSON.stringify(numbers) + '\n');

let seen = 0;
const took = [];

function percentiles() {
  const counted = took.slice(WARM).sort((a, b) => a - b);
  const of = p => counted[Math.floor(counted.length * p / 100)];
  return counted.length ? { p50_ms: of(50), p99_ms: of(99) } : {};
}

// The no-op handler.
function handle(job) {
  seen += 1;
  if (MODE === 'latency') took.push((now() - job.t) / 1e6);
  if (seen === 1) tell({ first: now() });
  if (seen === JOBS) tell({ last: now(), ...percentiles() });
}

async function clock(work) {
  const cpu = process.cpuUsage(), wall = now();
  await work();
  const spent = process.cpuUsage(cpu);
  tell({ wall: (now() - wall) / 1e9, cpu: (spent.user + spent.system) / 1e6 });
}

async function paced(put) {
  const start = now();
  for (let number = 0; number < JOBS; number++) {
    const delay = (start + number * 1e9 / PACE - now()) / 1e6;
    if (delay > 0) await new Promise(done => setTimeout(done, delay));
    await put(payload(number));
  }
}

async function oneByOne(put) {
  let number = 0;
  const caller = async () => { while (number < JOBS) await put(payload(number++)); };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
}

async function manyAtOnce(putMany) {
  for (let start = 0; start < JOBS; start += MANY) {
    const batch = [];
    for (let n = start; n < Math.min(JOBS, start + MANY); n++) batch.push(payload(n));
    await putMany(batch);
  }
}

async function produce(put, putMany) {
  if (MODE === 'pace') await paced(put);
  else await clock(() => (MODE === 'bulk' ? manyAtOnce(putMany) : oneByOne(put)));
  process.exit(0);
}

module.exports = { HOST, PORT, WORKS, VARIANT, handle, produce };
