/**
 * Spans in SQLite (`node:sqlite`): in memory, or in a file that outlives the process. Bounded by number and age; what
 * falls out is counted.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type DependencyLink, DependencyLinker } from './dependency-linker.ts'
import { matchesQuery, type TraceQuery } from './trace-query.ts'
import type { ZipkinSpan } from './zipkin-span.ts'

export interface RetentionLimits {
  readonly maxSpans: number
  readonly maxAgeMs: number
}

export interface StoreCounts {
  /** Spans ever stored. */
  readonly received: number
  readonly stored: number
  readonly evictedByCount: number
  readonly evictedByAge: number
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS span (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    received_ms INTEGER NOT NULL,
    trace_id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    service TEXT,
    name TEXT,
    remote_service TEXT,
    json TEXT NOT NULL
  );
  CREATE INDEX IF NOT EXISTS span_trace ON span (trace_id);
  CREATE INDEX IF NOT EXISTS span_timestamp ON span (timestamp);
  CREATE INDEX IF NOT EXISTS span_service ON span (service, timestamp);
  CREATE INDEX IF NOT EXISTS span_names ON span (service, name);
`

export class SpanDatabase {
  readonly #database: DatabaseSync
  readonly #limits: RetentionLimits
  readonly #now: () => number
  readonly #insert: StatementSync
  readonly #trace: StatementSync
  readonly #recent: StatementSync
  readonly #recentOfService: StatementSync
  #received = 0
  #stored = 0
  #evictedByCount = 0
  #evictedByAge = 0

  /** `:memory:` keeps nothing on disk. */
  constructor(path: string, limits: RetentionLimits, now: () => number = Date.now) {
    this.#limits = limits
    this.#now = now
    const database = new DatabaseSync(path)
    this.#database = database
    // A store that loses its last second in a power cut is none the worse for it.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;')
    database.exec(SCHEMA)
    this.#insert = database.prepare(
      'INSERT INTO span (received_ms, trace_id, timestamp, service, name, remote_service, json) VALUES (?, ?, ?, ?, ?, ?, ?)',
    )
    this.#trace = database.prepare('SELECT json FROM span WHERE trace_id = ? ORDER BY seq')
    const recent = (condition: string) =>
      database.prepare(
        `SELECT trace_id, MAX(timestamp) AS latest FROM span WHERE timestamp BETWEEN ? AND ? ${condition} ` +
          'GROUP BY trace_id ORDER BY latest DESC, trace_id',
      )
    this.#recent = recent('')
    this.#recentOfService = recent('AND service = ?')
    this.#stored = Number(database.prepare('SELECT COUNT(*) AS count FROM span').get()?.['count'])
  }

  get counts(): StoreCounts {
    return {
      received: this.#received,
      stored: this.#stored,
      evictedByCount: this.#evictedByCount,
      evictedByAge: this.#evictedByAge,
    }
  }

  /** All of a report or nothing. */
  add(spans: readonly ZipkinSpan[]): void {
    if (spans.length === 0) return
    const now = this.#now()
    this.#database.exec('BEGIN')
    try {
      for (const span of spans) {
        this.#insert.run(
          now,
          span.traceId,
          span.timestamp ?? 0,
          span.localEndpoint?.serviceName ?? null,
          span.name ?? null,
          span.remoteEndpoint?.serviceName ?? null,
          JSON.stringify(span),
        )
      }
      this.#database.exec('COMMIT')
    } catch (error) {
      this.#database.exec('ROLLBACK')
      throw error
    }
    this.#received += spans.length
    this.#stored += spans.length
    if (this.#stored > this.#limits.maxSpans) this.#evictByCount()
  }

  /** Drops what is too old; called now and then. */
  evictByAge(): void {
    const oldest = this.#now() - this.#limits.maxAgeMs
    const gone = Number(this.#database.prepare('DELETE FROM span WHERE received_ms < ?').run(oldest).changes)
    this.#stored -= gone
    this.#evictedByAge += gone
  }

  /** A tenth more than needed, so that a full store does not evict with every report. */
  #evictByCount(): void {
    const surplus = this.#stored - this.#limits.maxSpans + Math.floor(this.#limits.maxSpans / 10)
    const remove = this.#database.prepare('DELETE FROM span WHERE seq IN (SELECT seq FROM span ORDER BY seq LIMIT ?)')
    const gone = Number(remove.run(surplus).changes)
    this.#stored -= gone
    this.#evictedByCount += gone
  }

  trace(traceId: string): ZipkinSpan[] {
    return this.#trace.all(traceId).map(row => JSON.parse(row['json'] as string) as ZipkinSpan)
  }

  /** The latest traces that answer the query, latest first. */
  traces(query: TraceQuery): ZipkinSpan[][] {
    const found: ZipkinSpan[][] = []
    const from = (query.endTsMs - query.lookbackMs) * 1000
    const to = query.endTsMs * 1000
    const rows =
      query.serviceName === undefined
        ? this.#recent.iterate(from, to)
        : this.#recentOfService.iterate(from, to, query.serviceName)
    for (const row of rows) {
      const spans = this.trace(row['trace_id'] as string)
      if (matchesQuery(query, spans)) found.push(spans)
      if (found.length === query.limit) break
    }
    return found
  }

  dependencies(endTsMs: number, lookbackMs: number): DependencyLink[] {
    const linker = new DependencyLinker()
    const everything: TraceQuery = {
      serviceName: undefined,
      remoteServiceName: undefined,
      spanName: undefined,
      annotations: new Map(),
      minDuration: undefined,
      maxDuration: undefined,
      endTsMs,
      lookbackMs,
      limit: Number.POSITIVE_INFINITY,
    }
    for (const spans of this.traces(everything)) linker.putTrace(spans)
    return linker.links
  }

  services(): string[] {
    return this.#texts('SELECT DISTINCT service AS text FROM span WHERE service IS NOT NULL ORDER BY 1')
  }

  spanNames(service: string): string[] {
    return this.#texts(
      'SELECT DISTINCT name AS text FROM span WHERE service = ? AND name IS NOT NULL ORDER BY 1',
      service,
    )
  }

  remoteServices(service: string): string[] {
    return this.#texts(
      'SELECT DISTINCT remote_service AS text FROM span WHERE service = ? AND remote_service IS NOT NULL ORDER BY 1',
      service,
    )
  }

  /** Values of a tag. */
  tagValues(tag: string): string[] {
    return this.#texts(
      `SELECT DISTINCT json_each.value AS text FROM span, json_each(span.json, '$.tags') WHERE json_each.key = ? ORDER BY 1 LIMIT 1000`,
      tag,
    )
  }

  close(): void {
    this.#database.close()
  }

  #texts(sql: string, ...parameters: string[]): string[] {
    return this.#database
      .prepare(sql)
      .all(...parameters)
      .map(row => row['text'] as string)
  }
}
