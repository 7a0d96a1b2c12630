/** Answers of the admin listener in fewer bytes (RFC 9110 §8.4), for what people load over slow ways: the page. */
import type { AdminRequest, AdminResponse } from './message.ts'

/** What is smaller gains nothing. */
const MIN_BYTES = 1024
const ACCEPTED = /(?:^|[\s,])(?:gzip|\*)(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i

/** In gzip where the client takes it. Done beside the event loop, and only loads what does it once somebody asks. */
export async function compressed({ headers }: AdminRequest, response: AdminResponse): Promise<AdminResponse> {
  const { body } = response
  if (typeof body !== 'string' && !Buffer.isBuffer(body)) return response
  const varied = { ...response, headers: [...response.headers, ['vary', 'accept-encoding'] as const] }
  if (body.length < MIN_BYTES || !ACCEPTED.test(headers.get('accept-encoding') ?? '')) return varied
  const { gzip } = await import('node:zlib')
  const smaller = await new Promise<Buffer>((resolve, reject) => {
    gzip(body, (error, result) => (error === null ? resolve(result) : reject(error)))
  })
  return { ...varied, body: smaller, headers: [...varied.headers, ['content-encoding', 'gzip']] }
}
