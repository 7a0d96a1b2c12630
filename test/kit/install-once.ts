/** Installs of outside programs under `.cache/` (git-ignored), safe against two tests that want the same at once. */
import { existsSync, mkdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { waitFor } from './wait-for.ts'

export const repository = join(import.meta.dirname, '..', '..')
export const cacheFolder = join(repository, '.cache')

/** A lock not touched for this long belongs to a process that died. */
const STALE_LOCK_MS = 60_000

/**
 * The folder `.cache/<name>`, filled by `fill` where it does not exist yet. `fill` works on another folder that is renamed
 * at the end, so that what exists is whole.
 */
export async function installOnce(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cacheFolder, name)
  if (existsSync(folder)) return folder
  mkdirSync(cacheFolder, { recursive: true })
  const lock = `${folder}.lock`
  await waitFor(() => existsSync(folder) || tryLock(lock), {
    deadlineMs: 900_000,
    everyMs: 100,
    what: `the lock ${lock}`,
  })
  if (existsSync(folder)) return folder
  const partial = `${folder}.partial`
  const heartbeat = setInterval(() => utimesSync(lock, new Date(), new Date()), STALE_LOCK_MS / 4)
  try {
    rmSync(partial, { recursive: true, force: true })
    mkdirSync(partial)
    await fill(partial)
    renameSync(partial, folder)
  } finally {
    clearInterval(heartbeat)
    rmSync(lock, { recursive: true, force: true })
  }
  return folder
}

/** `mkdir` either makes the folder or fails: the one atomic step that every file system has. */
function tryLock(lock: string): boolean {
  try {
    mkdirSync(lock)
    return true
  } catch {
    try {
      if (Date.now() - statSync(lock).mtimeMs > STALE_LOCK_MS) rmSync(lock, { recursive: true, force: true })
    } catch {
      // The lock went away between the two looks: the next try will see.
    }
    return false
  }
}
