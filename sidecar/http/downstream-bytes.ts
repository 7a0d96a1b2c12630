/** Charges `downstream_cx_{rx,tx}_bytes_total` with what a connection has moved since it was last asked. */
import type { Connection } from '../transport/connection.ts'
import type { ConnectionManagerStats } from './stats.ts'

export class DownstreamBytes {
  #read = 0
  #written = 0

  count({ bytesRead, bytesWritten }: Connection, { named }: ConnectionManagerStats): void {
    named.downstream_cx_rx_bytes_total.add(bytesRead - this.#read)
    named.downstream_cx_tx_bytes_total.add(bytesWritten - this.#written)
    this.#read = bytesRead
    this.#written = bytesWritten
  }
}
