import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Sidecar, withRecord } from './sidecar-by-hand.ts'

/** A call that fails, and nobody in flight who could have sent it: of which request is that, by its id? */
function ofNobodyInFlight(c: Sidecar): string | undefined {
  const innocents = [c.inbound({ ids: false }), c.inbound({ ids: false })]
  const call = c.call(undefined)
  for (const innocent of innocents) innocent.answer(200)
  call.answer(503, withRecord())
  const { role, aliases } = c.locator.log.entries().findLast(({ side }) => side === 'outbound')!
  return role === 'propagated' ? aliases[0] : undefined
}

test('a request that was answered before a call was sent has that call only if all came close together', () => {
  const says = (agoMs: number) => {
    const c = new Sidecar()
    const [waiting, other] = [c.inbound({ ids: false }), c.inbound({ ids: false })]
    c.call(undefined)
    c.clock.advance(100)
    waiting.timedOut()
    const { id } = c.locator.log.entries()[0]!
    other.answer(200)
    c.clock.advance(agoMs)
    return ofNobodyInFlight(c) === id
  }
  // Its own call was taken for another's, perhaps.
  assert.equal(says(20), true)
  assert.equal(says(1000), false)
})

test('who waited for a call that proved to be of somebody else does not occupy one that is sent afterwards', () => {
  const c = new Sidecar()
  const [waiting] = [c.inbound({ ids: false }), c.inbound({ ids: false })]
  const call = c.call(undefined)
  c.clock.advance(100)
  waiting.timedOut()
  const late = c.inbound({ ids: false })
  c.clock.advance(1)
  c.call(undefined)
  call.answer(503, withRecord())
  c.clock.advance(100)
  late.timedOut()
  assert.equal(c.roles().at(-1), 'origin d timeout likely')
})

test('who was given, in exchange, a call that succeeds after all is free for the one that is his own', () => {
  const c = new Sidecar()
  const first = c.inbound({ ids: false })
  c.inbound({ ids: false })
  const older = c.call(undefined)
  const second = c.inbound({ ids: false })
  const newer = c.call(undefined)
  const own = c.call(undefined, 'e')
  c.clock.advance(100)
  first.timedOut()
  c.clock.advance(50)
  second.timedOut()
  const { id } = c.locator.log.entries().findLast(({ side }) => side === 'inbound')!
  // The first to be answered gets the first call to be given up, which the second occupied.
  newer.gone()
  older.answer(200)
  own.gone()
  assert.deepEqual(c.locator.log.entries().findLast(({ side }) => side === 'outbound')!.aliases, [id])
})
