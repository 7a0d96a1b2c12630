/**
 * `stats_config` of the bootstrap, made into what the store and its readers use. The parameter is the decoded message in
 * its own shape; this room may not import `config/`, so what is needed of it is written out here.
 */
import { DEFAULT_BOUNDS } from './histogram.ts'
import { Pattern } from './stats-regex.ts'
import type { StatsStoreOptions } from './stats-store.ts'
import { TagExtractor, type TagSpecifier } from './stats-tags.ts'

/** `envoy.type.matcher.v3.StringMatcher`. */
export interface StringMatch {
  readonly exact?: string | undefined
  readonly prefix?: string | undefined
  readonly suffix?: string | undefined
  readonly contains?: string | undefined
  readonly safeRegex?: { readonly regex: string } | undefined
  readonly ignoreCase?: boolean
}

interface MatchList {
  readonly patterns: readonly StringMatch[]
}

/** `envoy.config.metrics.v3.StatsConfig`. */
export interface StatsConfigMessage {
  readonly statsTags?: readonly TagSpecifier[]
  readonly useAllDefaultTags?: boolean | undefined
  readonly allowDefaultTagOverrides?: boolean | undefined
  readonly statsMatcher?:
    | {
        readonly rejectAll?: boolean | undefined
        readonly exclusionList?: MatchList | undefined
        readonly inclusionList?: MatchList | undefined
      }
    | undefined
  readonly histogramBucketSettings?: readonly {
    readonly match?: StringMatch | undefined
    readonly buckets: readonly number[]
  }[]
}

export interface CompiledStatsConfig {
  readonly store: StatsStoreOptions
  readonly tags: TagExtractor
}

/**
 * Throws `PatternError` for a regex that RE2 would refuse and `Error` for a tag without regex that is no default tag: both
 * with the text to show at the field. `everywhere` are the tags of the command line, which come first.
 */
export function compileStatsConfig(
  config: StatsConfigMessage | undefined,
  everywhere: readonly TagSpecifier[] = [],
): CompiledStatsConfig {
  const matcher = config?.statsMatcher
  const settings = config?.histogramBucketSettings ?? []
  return {
    store: {
      accepts: matcher && acceptor(matcher),
      bounds: settings.length === 0 ? undefined : boundsChooser(settings),
    },
    tags: new TagExtractor({
      statsTags: [...everywhere, ...(config?.statsTags ?? [])],
      useAllDefaultTags: config?.useAllDefaultTags,
      allowDefaultTagOverrides: config?.allowDefaultTagOverrides,
    }),
  }
}

/** The test a `StringMatcher` stands for. A `safe_regex` has to cover the whole text, as in Envoy. */
export function stringMatch(match: StringMatch): (text: string) => boolean {
  if (match.safeRegex !== undefined) {
    const pattern = new Pattern(match.safeRegex.regex)
    return text => pattern.covers(text)
  }
  const fold = (text: string) => (match.ignoreCase ? text.toLowerCase() : text)
  const { exact, prefix, suffix, contains } = match
  if (exact !== undefined) return text => fold(text) === fold(exact)
  if (prefix !== undefined) return text => fold(text).startsWith(fold(prefix))
  if (suffix !== undefined) return text => fold(text).endsWith(fold(suffix))
  if (contains !== undefined) return text => fold(text).includes(fold(contains))
  return () => false
}

function acceptor(matcher: NonNullable<StatsConfigMessage['statsMatcher']>): (name: string) => boolean {
  if (matcher.rejectAll) return () => false
  const list = matcher.inclusionList ?? matcher.exclusionList
  if (list === undefined) return () => true
  const tests = list.patterns.map(stringMatch)
  const wanted = matcher.inclusionList !== undefined
  return name => tests.some(test => test(name)) === wanted
}

function boundsChooser(
  settings: NonNullable<StatsConfigMessage['histogramBucketSettings']>,
): (name: string) => readonly number[] {
  // Sorted once here: every histogram of one setting shares the array, and with it the table made of it.
  const choices = settings.map(({ match, buckets }) => ({
    test: match === undefined ? () => true : stringMatch(match),
    bounds: [...buckets].sort((a, b) => a - b),
  }))
  return name => choices.find(({ test, bounds }) => bounds.length > 0 && test(name))?.bounds ?? DEFAULT_BOUNDS
}
