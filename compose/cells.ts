/**
 * What `verify.ts` breaks, one after another, and what the truth then is: each class of failure at each service, as far as
 * there is such a thing (`matrix.ts`). A term is one of `docker compose run break`; what a truth means is in
 * `demo-services/catalogue.ts`.
 */
import { BROKEN, QUIETLY_BROKEN } from './broken-services.ts'
import type { Cell } from './cell.ts'
import { REFUSED } from './refused-calls.ts'
import { UNREACHABLE } from './unreachable-callees.ts'

export const CELLS: readonly Cell[] = [...BROKEN, ...REFUSED, ...UNREACHABLE, ...QUIETLY_BROKEN]
