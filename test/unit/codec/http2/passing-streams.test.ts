import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RequestHeaders, ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'
import { http2ClientConnection, http2ServerConnection } from '../../../../sidecar/codec/http2/connection.ts'
import {
  DEFAULT_HTTP2_OPTIONS,
  type Http2ClientStream,
  type Http2ServerStream,
  newHttp2Counters,
} from '../../../../sidecar/codec/http2/contract.ts'
import { shareOutliving } from '../../../kit/young-generation.ts'
import { NOBODY, QUIET, Wire } from './quiet-events.ts'

/** Both ends of a connection; a request is one stream at each. */
class Ends {
  readonly #toServer = new Wire()
  readonly #toClient = new Wire()
  #arrived: Http2ServerStream | undefined = undefined
  readonly client = http2ClientConnection(DEFAULT_HTTP2_OPTIONS, QUIET, this.#toServer, newHttp2Counters())
  readonly server = http2ServerConnection(
    DEFAULT_HTTP2_OPTIONS,
    {
      ...QUIET,
      onStreamRefused() {},
      onStream: stream => {
        stream.decoder = NOBODY
        this.#arrived = stream
      },
    },
    this.#toClient,
    newHttp2Counters(),
  )

  ask(): { readonly asked: Http2ClientStream; readonly arrived: Http2ServerStream } {
    const asked = this.client.openStream(NOBODY)
    asked.encodeHeaders(new RequestHeaders('GET', '/', 'a', 'http'), true)
    this.#pump()
    const arrived = this.#arrived!
    this.#arrived = undefined
    return { asked, arrived }
  }

  answer(stream: Http2ServerStream): void {
    stream.encodeHeaders(new ResponseHeaders(200), true)
    this.#pump()
  }

  #pump(): void {
    for (let i = 0; i < 3; i++) {
      this.client.flush()
      this.server.receive(this.#toServer.take())
      this.server.flush()
      this.client.receive(this.#toClient.take())
    }
  }
}

for (const end of ['asked', 'arrived'] as const) {
  test(`streams that are over are collected with the young objects, where they have ${end}`, async () => {
    const ends = new Ends()
    const unanswered: Http2ServerStream[] = []
    const outliving = await shareOutliving(
      () => {
        const both = ends.ask()
        unanswered.push(both.arrived)
        return both[end]
      },
      () => {},
      () => ends.answer(unanswered.shift()!),
    )
    assert.equal(ends.client.activeStreams + ends.server.activeStreams, 0)
    assert.ok(outliving < 0.05, `${outliving * 100} % outlive it`)
  })
}
