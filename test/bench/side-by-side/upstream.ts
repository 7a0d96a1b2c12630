/**
 * The upstream of the benchmarks, and the stub of a Zipkin collector: answers every request on raw sockets with as little
 * work as possible, so that the proxy is what is measured.
 *
 *   node upstream.ts PORT
 *
 * A path that ends in `/<n>k` is answered with n KiB, every other with 20 bytes; request bodies are skipped. What it reads
 * comes from the two proxies only, so heads are trusted to be well formed.
 */
import net from 'node:net'

const HEAD_END = Buffer.from('\r\n\r\n')
const answers = new Map<string, Buffer>()

function answerOf(path: string): Buffer {
  const size = /\/(\d+)k$/.exec(path)
  const key = size === null ? '' : size[1]!
  let answer = answers.get(key)
  if (answer === undefined) {
    const length = key === '' ? 20 : Number(key) * 1024
    answer = Buffer.alloc(length + 160, 'x')
    const head = `HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: ${length}\r\n\r\n`
    answer.write(head, 0, 'latin1')
    answer = answer.subarray(0, head.length + length)
    answers.set(key, answer)
  }
  return answer
}

net
  .createServer({ noDelay: true }, socket => {
    let head: Buffer | undefined
    let skip = 0
    socket.on('error', () => {})
    socket.on('data', data => {
      let chunk = data as Buffer
      while (chunk.length > 0) {
        if (skip > 0) {
          const bytes = Math.min(skip, chunk.length)
          skip -= bytes
          chunk = chunk.subarray(bytes)
          continue
        }
        if (head !== undefined) chunk = Buffer.concat([head, chunk])
        const end = chunk.indexOf(HEAD_END)
        if (end < 0) {
          head = Buffer.from(chunk)
          return
        }
        head = undefined
        const text = chunk.latin1Slice(0, end)
        chunk = chunk.subarray(end + 4)
        // What has a body is answered at its head; the body follows by itself, so the order does not matter here.
        const length = text.charCodeAt(0) === 0x50 ? /\r\ncontent-length: (\d+)/i.exec(text) : null
        if (length !== null) skip = Number(length[1])
        socket.write(answerOf(text.slice(text.indexOf(' ') + 1, text.indexOf(' HTTP/'))))
      }
    })
  })
  .listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 })
