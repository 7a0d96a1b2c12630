/** The open log files of a process: one per path, shared by all loggers that write to it (Envoy: `AccessLogManager`). */
import { LogFile, type LogFileOptions } from './log-file.ts'

export class LogFiles {
  readonly #options: LogFileOptions
  readonly #files = new Map<string, { readonly file: LogFile; users: number }>()

  constructor(options: LogFileOptions) {
    this.#options = options
  }

  /** Opens the path, or throws `LogFileError`. Each call wants its own {@link release}. */
  open(path: string): LogFile {
    let entry = this.#files.get(path)
    if (entry === undefined) {
      entry = { file: new LogFile(path, this.#options), users: 0 }
      this.#files.set(path, entry)
    }
    entry.users++
    return entry.file
  }

  /** A file that nobody uses any longer is written out and closed. */
  release(file: LogFile): void {
    const entry = this.#files.get(file.path)
    if (entry === undefined || entry.file !== file || --entry.users > 0) return
    this.#files.delete(file.path)
    void file.close()
  }

  /** SIGUSR1, `POST /reopen_logs`. */
  reopen(): void {
    for (const { file } of this.#files.values()) file.reopen()
  }

  async flush(): Promise<void> {
    await Promise.all([...this.#files.values()].map(({ file }) => file.flush()))
  }

  async close(): Promise<void> {
    await Promise.all([...this.#files.values()].map(({ file }) => file.close()))
    this.#files.clear()
  }

  /** For the `exit` event, where nothing can be waited for. */
  closeSync(): void {
    for (const { file } of this.#files.values()) file.closeSync()
    this.#files.clear()
  }
}
