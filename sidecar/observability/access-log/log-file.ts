/**
 * A file that log lines are appended to, in batches (Envoy: `AccessLogFileImpl`).
 *
 * Lines are collected as text and written when 64 KiB have come, with the timer, or on {@link LogFile.flush}; one write is
 * under way at a time. When the disk or a pipe does not keep up, lines beyond `maxBufferedBytes` are dropped and counted:
 * a log must not take the proxy's memory.
 *
 * Lines have one character per byte (formatter/context.ts) and are written as latin1. Stats are Envoy's: it calls them
 * `filesystem.*` (measured on 1.40).
 */
import { close, closeSync, openSync, write, writeSync } from 'node:fs'
import { Timer, type Timers } from '../../base/timer-wheel.ts'
import type { Counter, Gauge, StatsScope } from '../stats.ts'

const FLUSH_BYTES = 65_536
const DEFAULT_FLUSH_INTERVAL_MS = 10_000
const DEFAULT_MAX_BUFFERED_BYTES = 16 * 1024 * 1024
/** A pipe that is full is tried again after this long. */
const RETRY_MS = 10

export interface LogFileOptions {
  readonly timers: Timers
  readonly stats: LogFileStats
  /** `--file-flush-interval-msec`. */
  readonly flushIntervalMs?: number | undefined
  readonly maxBufferedBytes?: number | undefined
}

export class LogFileStats {
  readonly writeBuffered: Counter
  readonly writeCompleted: Counter
  readonly writeFailed: Counter
  readonly flushedByTimer: Counter
  readonly reopenFailed: Counter
  readonly writeTotalBuffered: Gauge
  /** Ours: Envoy has no bound. */
  readonly linesDropped: Counter

  /** Scope without a prefix. */
  constructor(stats: StatsScope) {
    const scope = stats.scope('filesystem')
    this.writeBuffered = scope.counter('write_buffered')
    this.writeCompleted = scope.counter('write_completed')
    this.writeFailed = scope.counter('write_failed')
    this.flushedByTimer = scope.counter('flushed_by_timer')
    this.reopenFailed = scope.counter('reopen_failed')
    this.writeTotalBuffered = scope.gauge('write_total_buffered')
    this.linesDropped = scope.counter('lines_dropped')
  }
}

/** The file cannot be opened; Envoy's text. */
export class LogFileError extends Error {
  override name = 'LogFileError'
}

export class LogFile {
  readonly path: string
  readonly #fixedDescriptor: boolean
  readonly #timers: Timers
  readonly #timer: Timer
  readonly #stats: LogFileStats
  readonly #flushIntervalMs: number
  readonly #maxBufferedBytes: number
  #descriptor: number
  #lines = ''
  /** Being written; what is left of it after a partial write. */
  #writing: Buffer | undefined = undefined
  #reopenWanted = false
  #waiters: (() => void)[] = []
  #closed = false

  /** `/dev/stdout` and `/dev/stderr` are the process's own, whatever they are connected to. */
  constructor(path: string, options: LogFileOptions) {
    this.path = path
    this.#timers = options.timers
    this.#stats = options.stats
    this.#flushIntervalMs = options.flushIntervalMs ?? DEFAULT_FLUSH_INTERVAL_MS
    this.#maxBufferedBytes = options.maxBufferedBytes ?? DEFAULT_MAX_BUFFERED_BYTES
    this.#fixedDescriptor = path === '/dev/stdout' || path === '/dev/stderr'
    this.#descriptor = path === '/dev/stdout' ? 1 : path === '/dev/stderr' ? 2 : openLog(path)
    this.#timer = new Timer(() => this.#onTimer())
    this.#timers.start(this.#timer, this.#flushIntervalMs)
  }

  /** Bytes that are not in the file yet. */
  get bufferedBytes(): number {
    return this.#lines.length + (this.#writing?.length ?? 0)
  }

  write(line: string): void {
    if (this.#closed || this.bufferedBytes + line.length > this.#maxBufferedBytes) {
      this.#stats.linesDropped.inc()
      return
    }
    this.#lines += line
    this.#stats.writeBuffered.inc()
    this.#stats.writeTotalBuffered.add(line.length)
    if (this.#lines.length > FLUSH_BYTES) this.#start()
  }

  /** Opens the path anew once what was written before is in the old file: for log rotation (SIGUSR1). */
  reopen(): void {
    if (this.#fixedDescriptor) return
    this.#reopenWanted = true
    this.#start()
  }

  /** Resolves when everything written so far is in the file, or has failed to get there. */
  async flush(): Promise<void> {
    this.#start()
    if (this.#writing === undefined) return
    await new Promise<void>(resolve => this.#waiters.push(resolve))
    await this.flush()
  }

  /** Writes the rest and closes. Lines that come later are dropped. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#timers.stop(this.#timer)
    await this.flush()
    this.#closed = true
    if (!this.#fixedDescriptor) await new Promise<void>(resolve => close(this.#descriptor, () => resolve()))
  }

  /** The same without waiting, for the end of the process; a pipe that is full loses the rest. */
  closeSync(): void {
    if (this.#closed) return
    this.#timers.stop(this.#timer)
    this.#closed = true
    for (const bytes of [this.#writing, Buffer.from(this.#lines, 'latin1')]) {
      try {
        for (let at = 0; bytes !== undefined && at < bytes.length; ) {
          at += writeSync(this.#descriptor, bytes, at, bytes.length - at)
        }
      } catch {
        this.#stats.writeFailed.inc()
      }
    }
    this.#lines = ''
    if (!this.#fixedDescriptor) closeSync(this.#descriptor)
  }

  #onTimer(): void {
    this.#stats.flushedByTimer.inc()
    this.#start()
    this.#timers.start(this.#timer, this.#flushIntervalMs)
  }

  #start(): void {
    if (this.#writing !== undefined || this.#closed) return
    if (this.#lines === '') {
      this.#reopenIfWanted()
      return
    }
    this.#writing = Buffer.from(this.#lines, 'latin1')
    this.#lines = ''
    this.#write()
  }

  #write(): void {
    const bytes = this.#writing!
    write(this.#descriptor, bytes, 0, bytes.length, null, (error, written) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.#write(), RETRY_MS)
        return
      }
      const settled = error === null ? written : bytes.length
      this.#stats.writeTotalBuffered.add(-settled)
      if (error === null && written < bytes.length) {
        this.#writing = bytes.subarray(written)
        this.#write()
        return
      }
      if (error === null) this.#stats.writeCompleted.inc()
      else this.#stats.writeFailed.inc()
      this.#done()
    })
  }

  #done(): void {
    this.#writing = undefined
    this.#reopenIfWanted()
    for (const resolve of this.#waiters.splice(0)) resolve()
    if (this.#lines.length > FLUSH_BYTES) this.#start()
  }

  /** A path that can no longer be opened leaves the old file in use. */
  #reopenIfWanted(): void {
    if (!this.#reopenWanted) return
    this.#reopenWanted = false
    try {
      const opened = openLog(this.path)
      close(this.#descriptor, () => {})
      this.#descriptor = opened
    } catch {
      this.#stats.reopenFailed.inc()
    }
  }
}

function openLog(path: string): number {
  try {
    return openSync(path, 'a', 0o644)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new LogFileError(`unable to open file '${path}': ${REASONS[code ?? ''] ?? (error as Error).message}`)
  }
}

/** The C library's texts, which Envoy prints. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  EISDIR: 'Is a directory',
  ENOTDIR: 'Not a directory',
  EROFS: 'Read-only file system',
  ENOSPC: 'No space left on device',
  EMFILE: 'Too many open files',
  ENXIO: 'No such device or address',
}
