// ws alone, fed by a subscription: socket.io is built on it.
const http = require('http').createServer();
const { WebSocketServer } = require('ws');
const { createClient } = require('redis');
const common = require('./common.cjs');

(async () => {
  const subscriber = await createClient({ url: common.URL }).connect();
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
  await subscriber.subscribe(common.CHANNEL, message => {
    for (const each of sockets.clients) each.send(message);
  });
  common.serve(http);
})();
