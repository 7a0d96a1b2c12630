/**
 * Spans as Zipkin v2 JSON (https://zipkin.io/zipkin-api/#/default/post_spans), shaped as Envoy's: a SERVER span of the
 * shared model says `shared`, its end is the annotation `ss`, that of a CLIENT span `cr`. Links, which Zipkin has no word
 * for, are tags.
 *
 * Spans are written when they are added: a report that waits is one string and no objects.
 */
import type { Span } from './span.ts'
import type { SpanEncoder } from './span-encoder.ts'

export interface ZipkinEndpoint {
  readonly serviceName: string
  /** '' for none. */
  readonly ipv4: string
  readonly ipv6: string
  readonly port: number
}

export class ZipkinEncoder implements SpanEncoder {
  readonly contentType = 'application/json'
  readonly #localEndpoint: string
  readonly #keys = new Map<string, string>()
  #body = ''

  constructor(endpoint: ZipkinEndpoint) {
    const { serviceName, ipv4, ipv6, port } = endpoint
    this.#localEndpoint = `,"localEndpoint":${JSON.stringify({
      ...(serviceName === '' ? {} : { serviceName }),
      ...(ipv4 === '' ? {} : { ipv4 }),
      ...(ipv6 === '' ? {} : { ipv6 }),
      port,
    })}`
  }

  add(span: Span): void {
    this.#body += (this.#body === '' ? '[' : ',') + this.#json(span)
  }

  take(): string {
    const body = `${this.#body}]`
    this.#body = ''
    return body
  }

  /** `,"name":`; names come from this program and from configuration, so that there are few. */
  #key(name: string): string {
    let key = this.#keys.get(name)
    if (key === undefined) {
      key = `,${JSON.stringify(name)}:`
      this.#keys.set(name, key)
    }
    return key
  }

  #json(span: Span): string {
    const server = span.kind === 'SERVER'
    const startUs = span.startUs
    const durationUs = span.durationUs
    let json = `{"traceId":"${span.traceId}"`
    if (span.parentSpanId !== '') json += `,"parentId":"${span.parentSpanId}"`
    json += `,"id":"${span.spanId}","kind":"${span.kind}","name":${quoted(span.name)}`
    if (span.shared) json += ',"shared":true'
    json += `,"timestamp":${startUs},"duration":${durationUs}`
    json += this.#localEndpoint
    json += ',"annotations":['
    for (const { timestampUs, value } of span.annotations) {
      json += `{"timestamp":${timestampUs},"value":${quoted(value)}},`
    }
    json += `{"timestamp":${startUs + durationUs},"value":"${server ? 'ss' : 'cr'}"}],"tags":{`
    const tags = span.tags
    for (let i = 0; i < tags.length; i += 2) {
      json += i === 0 ? this.#key(tags[i]!).slice(1) : this.#key(tags[i]!)
      json += quoted(tags[i + 1]!)
    }
    if (span.links !== undefined) {
      const links = span.links.map(link => `${link.traceId}-${link.spanId}`).join(',')
      json += `${tags.length === 0 ? '' : ','}"links":"${links}"`
    }
    return `${json}}}`
  }
}

/** A look at each character of a short text costs less than a regular expression. */
function quoted(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) return JSON.stringify(text)
  }
  return '"' + text + '"'
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
