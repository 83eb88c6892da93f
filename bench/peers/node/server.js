// A server in the way of the system that Belfry grew from: WebSocket clients,
// a NATS connection for each of them, authentication by a NATS request, and the
// user's notifications on notification_<user>.
//
//   node server.js --listen 127.0.0.1:0 --nats nats://127.0.0.1:4222
//
// When it is ready it prints one line, {"clients":"ws://…"}.
import { parseArgs } from 'node:util'
import { connect } from 'nats'
import { WebSocketServer } from 'ws'

const { values: options } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:0' },
    nats: { type: 'string', default: 'nats://127.0.0.1:4222' }
  }
})
const [host, port] = options.listen.split(':')
const failure = message => JSON.stringify({ success: false, message })

// A Session is one client's: its socket, its NATS connection, its user.
class Session {
  constructor (socket) {
    this.socket = socket
    this.nats = connect({ servers: options.nats, reconnect: false })
    this.nats.catch(err => this.refuse(failure(err.message)))
    this.frames = Promise.resolve() // handled one after another
    socket.on('message', data => { this.frames = this.frames.then(() => this.handle(data)).catch(err => this.refuse(failure(err.message))) })
    socket.on('error', () => socket.terminate())
    socket.on('close', () => { this.nats.then(nc => nc.close(), () => {}) })
  }

  refuse (frame) {
    this.socket.send(frame)
    this.socket.close()
  }

  async handle (data) {
    let frame
    try {
      frame = JSON.parse(data)
    } catch {
      return this.refuse(failure('Invalid JSON message structure'))
    }
    switch (frame?.type) {
      case undefined: return this.refuse(failure('Invalid message structure. Type field is required'))
      case 'AUTH': return this.authenticate(frame.token)
      case 'NOTIFICATION': return this.subscribe()
      default: return this.refuse(failure('Invalid message type'))
    }
  }

  async authenticate (token) {
    const nc = await this.nats
    const reply = await nc.request('authentication', token, { timeout: 5000 })
    const { success, user_id: user } = reply.json()
    if (!success) return this.refuse(reply.string())
    this.user = user
    this.socket.send(reply.string())
  }

  async subscribe () {
    if (this.user === undefined || this.subscription) return
    const nc = await this.nats
    this.subscription = nc.subscribe(`notification_${this.user}`, {
      callback: (err, message) => { if (!err) this.socket.send(message.data, { binary: false }) }
    })
  }
}

const server = new WebSocketServer({ host, port: Number(port), backlog: 4096 })
server.on('connection', socket => new Session(socket))
server.on('listening', () => {
  const { address, port } = server.address()
  console.log(JSON.stringify({ clients: `ws://${address}:${port}/` }))
})
server.on('error', err => { console.error('node:', err.message); process.exit(1) })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
