/**
 * Exceptions: bugs of ours, or of a filter that somebody wrote. Whatever calls into the rest from outside (a socket, a timer)
 * catches them, ends what it was about, and tells them here; everything else goes on.
 */

/** `where`: what was being done, for the log. */
export type TellBug = (error: unknown, where: string) => void

/** Until somebody listens, a bug ends the process: so tests see it, and so does whoever breaks the start. */
let tell: TellBug = error => {
  throw error
}

export function ownBug(error: unknown, where: string): void {
  tell(error, where)
}

export function onOwnBug(listener: TellBug): void {
  tell = listener
}
