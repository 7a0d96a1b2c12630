/** The last minutes at a glance: requests per look as bars, what failed of them in red. */
import { percentText, rateText, svg } from './elements.js'

const BARS = 60
const WIDTH = 5
const GAP = 2
const HEIGHT = 44

export class Pulse {
  #bars = []

  /** `rate` and `errors` of what came in since the last look. */
  add(rate, errors) {
    if (rate === undefined) return
    this.#bars.push({ rate, errors })
    if (this.#bars.length > BARS) this.#bars.shift()
  }

  draw() {
    const most = Math.max(1, ...this.#bars.map(({ rate }) => rate))
    const last = this.#bars.at(-1)
    const label =
      last === undefined ? 'No rates yet' : `${rateText(last.rate)} requests a second, ${percentText(last.errors)} fail`
    const bars = this.#bars.flatMap(({ rate, errors }, i) => {
      const x = (BARS - this.#bars.length + i) * (WIDTH + GAP)
      const height = rate === 0 ? 1 : Math.max(2, (rate / most) * HEIGHT)
      const bad = errors === 0 ? 0 : Math.max(2, height * errors)
      return [
        svg('rect', { x, y: HEIGHT - height, width: WIDTH, height: height - bad, rx: 1, class: 'good' }),
        svg('rect', { x, y: HEIGHT - bad, width: WIDTH, height: bad, rx: 1, class: 'bad' }),
      ]
    })
    const width = BARS * (WIDTH + GAP)
    return svg(
      'svg',
      { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: 'img', 'aria-label': label },
      ...bars,
    )
  }
}
