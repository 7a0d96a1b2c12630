/** `tracing` of a route, and the tags and names of spans that connection managers configure in the same way. */
import { ConfigError, ConfigMistakes } from '../config/config-error.ts'
import type {
  CustomTag as CustomTagMessage,
  FractionalPercent,
  RouteTracing as RouteTracingMessage,
} from '../config/schema/generated/types.ts'
import type { RouteTracing } from '../filter-chain/route.ts'
import { DENOMINATORS } from '../filter-chain/runtime.ts'
import { type Formatter, formatErrorText } from '../observability/formatter/context.ts'
import { compileTextFormat } from '../observability/formatter/text-format.ts'
import { type CustomTagConfig, compileCustomTags } from '../observability/tracing/custom-tags.ts'

/** What a route does not say is sampled whole, as in Envoy. Throws {@link ConfigError}. */
export function routeTracing(message: RouteTracingMessage): RouteTracing {
  const mistakes = new ConfigMistakes()
  const named = (text: string, field: string) => mistakes.attempt('', () => spanName(text, field))
  const operation = named(message.operation, 'operation')
  const upstreamOperation = named(message.upstreamOperation, 'upstream_operation')
  const tags = message.customTags.map((tag, i) =>
    mistakes.attempt('', () => customTagConfig(tag, `custom_tags[${i}].value`)),
  )
  mistakes.throwAll()
  return {
    rates: {
      clientSampling: percent(message.clientSampling),
      randomSampling: percent(message.randomSampling),
      overallSampling: percent(message.overallSampling),
    },
    customTags: compileCustomTags(tags.filter(tag => tag !== undefined)),
    operation,
    upstreamOperation,
  }
}

/** Format of a span's name; undefined where there is none. */
export function spanName(text: string, field: string): Formatter | undefined {
  return text === '' ? undefined : compiled(text, field)
}

/** `field`: of its `value`, for the {@link ConfigError} that is thrown where that is no format. */
export function customTagConfig(message: CustomTagMessage, field = 'value'): CustomTagConfig {
  const valueType = message.valueType === 'UNSPECIFIED' ? 'STRING' : message.valueType
  return { ...sourceOfTag(message, field), tag: message.tag, valueType }
}

function sourceOfTag(message: CustomTagMessage, field: string) {
  const { literal, environment, requestHeader, metadata } = message
  if (literal !== undefined) return { type: 'literal', value: literal.value } as const
  if (environment !== undefined) {
    return { type: 'environment', name: environment.name, defaultValue: environment.defaultValue } as const
  }
  if (requestHeader !== undefined) {
    const { name, defaultValue } = requestHeader
    return { type: 'request_header', name: name.toLowerCase(), defaultValue } as const
  }
  if (metadata !== undefined) {
    const { kind, metadataKey, defaultValue } = metadata
    const place =
      kind?.route !== undefined
        ? 'ROUTE'
        : kind?.cluster !== undefined
          ? 'CLUSTER'
          : kind?.host !== undefined
            ? 'UPSTREAM_HOST'
            : 'DYNAMIC'
    return {
      type: 'metadata',
      kind: place,
      namespace: metadataKey?.key ?? '',
      path: metadataKey?.path.map(segment => segment.key ?? '') ?? [],
      defaultValue,
    } as const
  }
  return { type: 'value', format: compiled(message.value ?? '', field) } as const
}

/** Missing values are nothing. */
function compiled(text: string, field: string): Formatter {
  const { value, errors } = compileTextFormat(text, { omitEmptyValues: true })
  if (errors !== undefined) throw new ConfigError(field, formatErrorText(errors))
  return value
}

function percent(message: FractionalPercent | undefined): number {
  return message === undefined ? 100 : (message.numerator * 100) / DENOMINATORS[message.denominator]
}
