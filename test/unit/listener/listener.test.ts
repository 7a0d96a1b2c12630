/** The socket of a listener, and who waits in its queue. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { systemClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import { FilterChainMatcher } from '../../../sidecar/listener/filter-chain-match.ts'
import { Listener, ListenerSockets, type ServingChain } from '../../../sidecar/listener/listener.ts'
import { StatsStore } from '../../../sidecar/observability/stats-store.ts'
import { accepts } from '../../kit/process.ts'

/** Says its name and ends. */
function greeter(name: string): ServingChain {
  return {
    name,
    tls: undefined,
    onHandshakeFailed() {},
    close() {},
    serve(connection, _info, onClosed) {
      connection.write(name)
      connection.closeAfterFlush(1000)
      const nothing = () => {}
      const events = {
        onConnected: nothing,
        onData: nothing,
        onEnd: nothing,
        onBackpressure: nothing,
        onClose: onClosed,
      }
      const served = { protocol: '', protocolError: false, adoptChain: () => false, drain: nothing } as const
      return { ...events, ...served, destroy: () => connection.close() }
    },
  }
}

test('a socket that closes accepts who waits in its queue; the address can be had again right away', async t => {
  const timers = new TimerWheel(systemClock)
  t.after(() => timers.close())
  const sockets = new ListenerSockets(timers)
  const listening = async (name: string, port: number) => {
    const listener = new Listener(
      {
        name,
        addresses: [{ ip: '127.0.0.1', port }],
        statPrefix: name,
        bindToPort: true,
        reusePort: false,
        dualStack: [false],
        loggers: [],
        backlog: 16,
        bufferLimitBytes: 1024,
        chains: new FilterChainMatcher([{ chain: greeter(name), match: undefined }], undefined),
        maxConnections: 0,
        listenerFilters: [],
        listenerFiltersTimeoutMs: 0,
        continueOnListenerFiltersTimeout: false,
      },
      systemClock,
      timers,
      new StatsStore(),
    )
    await sockets.bind(listener)
    return listener
  }
  const first = await listening('first', 0)
  const { port } = first.sockets[0]!.address
  const greeting = () => {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    let text = ''
    const socket = connect(port, '127.0.0.1').on('error', reject)
    socket.on('data', data => {
      text += String(data)
    })
    socket.on('end', () => resolve(text))
    return promise
  }
  const queued = Array.from({ length: 5 }, greeting)
  // The system has it connected now, and nobody has accepted it: the event loop has not turned.
  await new Promise<void>(resolve => process.nextTick(resolve))
  const closed = sockets.close(first)
  const second = await listening('second', port)
  await closed
  assert.deepEqual(await Promise.all(queued), Array(5).fill('first'))
  assert.equal(await greeting(), 'second')
  sockets.discard(second)
  assert.equal(await accepts(port), false)
})
