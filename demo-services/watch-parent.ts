/**
 * Ends this process when the one that started it is gone, however that ended: the kernel closes the pipe that is our
 * standard input. Preloaded (`--import`) into the services and, so that they stay as users run them, into the sidecars.
 */
import type { Socket } from 'node:net'

// A pipe, as the demo gives one to each child; to a file or a terminal this would mean something else.
const parent = process.stdin as unknown as Socket
parent.on('close', () => process.exit(0))
parent.on('error', () => process.exit(0))
parent.resume()
// The pipe alone is no reason to stay.
parent.unref?.()
