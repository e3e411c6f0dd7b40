// socket.io with its Redis adapter; WebSocket is the only transport, and nobody is pinged meanwhile.
const http = require('http').createServer();
const { Server } = require('socket.io');
const { createAdapter } = require('@socket.io/redis-adapter');
const { createClient } = require('redis');
const common = require('./common.cjs');

(async () => {
  const publisher = createClient({ url: common.URL }), subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const io = new Server(http, {
    transports: ['websocket'],
    adapter: createAdapter(publisher, subscriber),
    serveClient: false,
    pingInterval: 300000,
    pingTimeout: 200000,
  });
  io.on('connection', () => {});
  common.serve(http);
})();
