// The same as common.py, for node.
const fs = require('fs');
const readline = require('readline');
const [HOST, PORT, CHANNEL] = process.argv.slice(2);
const URL = `redis://${HOST}:${PORT}`;
const tell = numbers => fs.writeSync(1, JSON.stringify(numbers) + '\n');

// server: of node's http, which listens.
function serve(server) {
  server.listen(0, '127.0.0.1', 4096, () => {
    tell({ ready: true });
    const lines = readline.createInterface({ input: process.stdin });
    lines.on('line', order => {
      if (JSON.parse(order).collect) global.gc();
      tell({ port: server.address().port, bytes: process.memoryUsage.rss() });
    });
    lines.on('close', () => process.exit(0));
  });
}

module.exports = { URL, CHANNEL, serve };
