/** The configuration of a transcoder, compiled: which requests it takes, and what it makes of them. */
import { readFileSync } from 'node:fs'
import type { DescMessage, DescMethod } from '@bufbuild/protobuf'
import type { GrpcJsonTranscoder } from '../../../config/schema/generated/types.ts'
import { ConfigError } from '../../../filter-chain/http-filter.ts'
import type { HttpRule } from './http-rule.ts'
import { Descriptors } from './messages.ts'
import { type Binding, PathMatcher, queryBindings } from './path-template.ts'

/** A method under one of its rules. */
export interface TranscodedMethod {
  /** `/package.Service/Method`. */
  readonly path: string
  readonly input: DescMessage
  readonly output: DescMessage
  readonly clientStreaming: boolean
  readonly serverStreaming: boolean
  /** Undefined where the body is not read. */
  readonly bodyPath: readonly string[] | undefined
  readonly requestIsHttpBody: boolean
  readonly responseIsHttpBody: boolean
}

export interface TranscodedCall {
  readonly method: TranscodedMethod
  readonly bindings: readonly Binding[]
  /** Query parameters that are no fields, where they are to be captured. */
  readonly unknown: ReadonlyMap<string, readonly string[]> | undefined
}

/** Why a request is not taken: `unknown_method` or `unknown_parameter`, with words for the caller. */
export interface NotTranscoded {
  readonly why: 'unknown_method' | 'unknown_parameter'
  readonly text: string
}

export class Transcoder {
  readonly message: GrpcJsonTranscoder
  readonly descriptors: Descriptors
  readonly #matcher: PathMatcher<TranscodedMethod>
  readonly #ignored: ReadonlySet<string>

  /** Undefined where no service is listed: the filter does nothing, as in Envoy. */
  static compile(message: GrpcJsonTranscoder): Transcoder | undefined {
    return message.services.length === 0 ? undefined : new Transcoder(message)
  }

  private constructor(message: GrpcJsonTranscoder) {
    this.message = message
    const print = message.printOptions
    const [bytes, field] = descriptorSet(message)
    this.descriptors = new Descriptors(
      bytes,
      field,
      {
        whitespace: print?.addWhitespace === true,
        allPrimitives: print?.alwaysPrintPrimitiveFields === true,
        enumsAsNumbers: print?.alwaysPrintEnumsAsInts === true,
        protoNames: print?.preserveProtoFieldNames === true,
      },
      message.caseInsensitiveEnumParsing,
    )
    this.#ignored = new Set(message.ignoredQueryParameters)
    this.#matcher = new PathMatcher(message.urlUnescapeSpec, message.matchUnregisteredCustomVerb)
    for (const [i, name] of message.services.entries()) this.#addService(name, `services[${i}]`)
  }

  #addService(name: string, field: string): void {
    const service = this.descriptors.service(name)
    if (service === undefined) {
      throw new ConfigError(field, `transcoding_filter: Could not find '${name}' in the proto descriptor`)
    }
    for (const method of service.methods) {
      const path = `/${service.typeName}/${method.name}`
      const auto: HttpRule = { method: 'POST', path, body: '*', responseBody: '' }
      const rules = this.descriptors.rulesOf(method) ?? (this.message.autoMapping ? [auto] : [])
      for (const rule of rules) {
        const compiled = this.#compile(method, path, rule, field)
        if (!this.#matcher.add(rule.method, rule.path, compiled)) {
          throw new ConfigError(field, `transcoding_filter: Cannot register '${name}.${method.name}' to path matcher`)
        }
      }
    }
  }

  #compile(method: DescMethod, path: string, rule: HttpRule, field: string): TranscodedMethod {
    const fail = (reason: string): never => {
      throw new ConfigError(
        field,
        `transcoding_filter: Cannot register '${path.slice(1).replace('/', '.')}': ${reason}`,
      )
    }
    const typeAt = (message: DescMessage, at: string): DescMessage | undefined => {
      if (at === '' || at === '*') return message
      const found = this.descriptors.resolve(message, at.split('.'))
      return typeof found === 'string' ? fail(found) : found.message
    }
    const body = typeAt(method.input, rule.body)
    const response = typeAt(method.output, rule.responseBody)
    const responseIsHttpBody = response !== undefined && this.descriptors.isHttpBody(response)
    if (rule.responseBody !== '' && !responseIsHttpBody) {
      fail(`Setting "response_body" is not supported yet for non-HttpBody fields: ${path.slice(1)}`)
    }
    return {
      path,
      input: method.input,
      output: method.output,
      clientStreaming: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
      serverStreaming: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
      bodyPath: rule.body === '' ? undefined : rule.body === '*' ? [] : rule.body.split('.'),
      requestIsHttpBody: rule.body !== '' && body !== undefined && this.descriptors.isHttpBody(body),
      responseIsHttpBody,
    }
  }

  /** The call that a request makes. */
  callOf(method: string, target: string): TranscodedCall | NotTranscoded {
    const question = target.indexOf('?')
    const path = question < 0 ? target : target.slice(0, question)
    const found = this.#matcher.match(method, path)
    if (found === undefined) return { why: 'unknown_method', text: `Could not resolve ${path} to a method.` }
    const { captureUnknownQueryParameters, ignoreUnknownQueryParameters, queryParamUnescapePlus } = this.message
    const query = question < 0 ? [] : queryBindings(target.slice(question + 1), this.#ignored, queryParamUnescapePlus)
    const bindings: Binding[] = []
    let unknown: Map<string, string[]> | undefined
    for (const binding of [...found.bindings, ...query]) {
      const resolved = this.descriptors.resolve(found.value.input, binding.path)
      if (typeof resolved !== 'string') bindings.push(binding)
      else if (captureUnknownQueryParameters) {
        unknown ??= new Map()
        const key = binding.path.join('.')
        unknown.set(key, [...(unknown.get(key) ?? []), binding.value])
      } else if (!ignoreUnknownQueryParameters) return { why: 'unknown_parameter', text: resolved }
    }
    return { method: found.value, bindings, unknown }
  }
}

function descriptorSet(message: GrpcJsonTranscoder): readonly [bytes: Uint8Array, field: string] {
  if (message.protoDescriptorBin !== undefined) return [message.protoDescriptorBin, 'proto_descriptor_bin']
  const file = message.protoDescriptor
  if (file === undefined) throw new ConfigError('proto_descriptor', 'transcoding_filter: descriptor not set')
  try {
    return [readFileSync(file), 'proto_descriptor']
  } catch (error) {
    throw new ConfigError('proto_descriptor', `cannot be read: ${(error as Error).message}`)
  }
}
