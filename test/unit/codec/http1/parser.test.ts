import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvariantError } from '../../../../sidecar/base/invariant.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'
import type { Http1Error } from '../../../../sidecar/codec/http1/error.ts'
import type { Http1Framing } from '../../../../sidecar/codec/http1/framing.ts'
import { Http1RequestParser, Http1ResponseParser } from '../../../../sidecar/codec/http1/parser.ts'

/** Keeps the names of the events; `on` acts from inside one. */
class Events {
  readonly told: string[] = []
  on: (event: string) => void = () => {}
  heads: (RequestHeaders | ResponseHeaders)[] = []
  onHead(headers: RequestHeaders | ResponseHeaders, _framing: Http1Framing): void {
    this.heads.push(headers)
    this.#tell('head')
  }
  onBody(chunk: Buffer, start: number, end: number): void {
    this.#tell(`body ${chunk.latin1Slice(start, end)}`)
  }
  onTrailers(_trailers: HeaderMap): void {
    this.#tell('trailers')
  }
  onMessageEnd(): void {
    this.#tell('end')
  }
  onError(error: Http1Error): void {
    this.#tell(`error ${error.kind}`)
  }
  #tell(event: string): void {
    this.told.push(event)
    this.on(event)
  }
}

function requests(): { events: Events; parser: Http1RequestParser; feed: (text: string) => number } {
  const events = new Events()
  const parser = new Http1RequestParser(events)
  return { events, parser, feed: text => parser.execute(Buffer.from(text, 'latin1'), 0, text.length) }
}

const HEAD = 'POST / HTTP/1.1\r\nHost: a\r\n'

test('a pause from inside the head holds the body back, and the next execute goes on', () => {
  const { events, parser, feed } = requests()
  events.on = event => {
    if (event === 'head') parser.pause()
  }
  const head = `${HEAD}Content-Length: 5\r\n\r\n`
  assert.equal(feed(`${head}hello`), head.length)
  assert.deepEqual(events.told, ['head'])
  assert.equal(parser.idle, false)
  assert.equal(feed('hello'), 5)
  assert.deepEqual(events.told, ['head', 'body hello', 'end'])
  assert.equal(parser.idle, true)
})

test('a pause does not hold back an end that is known', () => {
  const { events, parser, feed } = requests()
  events.on = () => parser.pause()
  feed(`${HEAD}\r\n`)
  feed(`${HEAD}Content-Length: 1\r\n\r\n`)
  feed('x')
  assert.deepEqual(events.told, ['head', 'end', 'head', 'body x', 'end'])
})

test('execute stops after each message', () => {
  const { events, feed } = requests()
  assert.equal(feed(`${HEAD}\r\n${HEAD}\r\n`), HEAD.length + 2)
  assert.deepEqual(events.told, ['head', 'end'])
})

for (const [event, told] of [
  ['head', ['head']],
  ['body x', ['head', 'body x']],
  ['trailers', ['head', 'body x', 'trailers']],
] as const) {
  test(`after close from inside ${event} nothing is told`, () => {
    const { events, parser, feed } = requests()
    events.on = current => {
      if (current === event) parser.close()
    }
    feed(`${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx: y\r\n\r\n`)
    assert.equal(feed(`${HEAD}\r\n`), 0)
    parser.finish()
    assert.deepEqual(events.told, told)
  })
}

test('after an error nothing is consumed and nothing told', () => {
  const { events, parser, feed } = requests()
  assert.equal(feed('GET\x01'), 3)
  assert.equal(feed(`${HEAD}\r\n`), 0)
  parser.finish()
  assert.deepEqual(events.told, ['error malformed'])
})

test('a tunnel begins at the head that asked for it, and only there', () => {
  const { events, parser, feed } = requests()
  events.on = event => {
    if (event === 'head') parser.tunnel()
  }
  const text = `${HEAD}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00`
  assert.equal(feed(text), text.length)
  assert.deepEqual(events.told, ['head', 'body \x81\x00'])
  assert.throws(() => parser.tunnel(), InvariantError)
  parser.finish()
  assert.deepEqual(events.told.at(-1), 'end')
})

test('one response at a time can be awaited', () => {
  const events = new Events()
  const parser = new Http1ResponseParser(events)
  assert.equal(parser.idle, true)
  parser.expectResponse('GET')
  assert.equal(parser.idle, false)
  assert.throws(() => parser.expectResponse('GET'), InvariantError)
  const bytes = Buffer.from('HTTP/1.1 204 No Content\r\n\r\n')
  parser.execute(bytes, 0, bytes.length)
  assert.equal(parser.idle, true)
  parser.expectResponse('GET')
  parser.finish()
  assert.deepEqual(events.told, ['head', 'end', 'error ended_before_message'])
})

test('the buffer may be used again once execute has returned', () => {
  const { events, parser } = requests()
  const text = `${HEAD}X-Some-New-Name: some value of more than a few bytes\r\n\r\n`
  const bytes = Buffer.from(text)
  for (const end of [10, 30, 45, text.length]) {
    // Each piece comes in the same buffer at the same place.
    const start = [10, 30, 45, text.length].filter(other => other < end).at(-1) ?? 0
    const buffer = Buffer.alloc(text.length, 'z')
    bytes.copy(buffer, 0, start, end)
    parser.execute(buffer, 0, end - start)
    buffer.fill('!')
  }
  assert.deepEqual(events.heads[0]!.list, ['x-some-new-name', 'some value of more than a few bytes'])
  // The table of names must not point into the buffer either.
  const again = Buffer.from(text)
  parser.execute(again, 0, again.length)
  again.fill('?')
  const third = Buffer.from(text)
  parser.execute(third, 0, third.length)
  assert.deepEqual(events.heads.at(-1)!.list, events.heads[0]!.list)
})

test('names made up by a peer do not confuse each other, however they hash', () => {
  const { events, feed } = requests()
  for (let round = 0; round < 200; round++) {
    const names = Array.from({ length: 90 }, (_, i) => `x${round}-${i}`)
    feed(`${HEAD}${names.map(name => `${inCase(round, name)}: ${name}\r\n`).join('')}\r\n`)
    const { list } = events.heads.at(-1)!
    for (let at = 0; at < list.length; at += 2) assert.equal(list[at], list[at + 1])
    assert.equal(list.length, 180)
  }
})

test('a name of any length is read', () => {
  const { events, feed } = requests()
  for (const length of [99, 100, 101, 5000]) {
    const name = 'N'.repeat(length)
    feed(`${HEAD}X: y\r\n${name}: z\r\n\r\n`)
    feed(`${HEAD}X: y\r\n${name}: z\r\n\r\n`)
    assert.deepEqual(events.heads.at(-1)!.list, ['x', 'y', name.toLowerCase(), 'z'])
  }
})

/** Upper case in every second round. */
function inCase(round: number, name: string): string {
  return round % 2 === 0 ? name : name.toUpperCase()
}
