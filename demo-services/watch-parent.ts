/**
 * Ends this process when the one that started it is gone, however that ended: the kernel closes the pipe that is our
 * standard input. Preloaded (`--import`) into the services and, so that they stay as users run them, into the sidecars.
 */
import { Socket } from 'node:net'

const parent = new Socket({ fd: 0, readable: true, writable: false })
parent.on('close', () => process.exit(0))
parent.on('error', () => process.exit(0))
parent.resume()
// The pipe alone is no reason to stay.
parent.unref()
