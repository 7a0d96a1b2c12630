import type { Problems } from './problems.ts'
import type { Bootstrap } from './schema/generated/types.ts'
export function checkReferences(_b: Bootstrap, _p: Problems): void {}
export function checkFragmentReferences(_v: unknown, _k: string, _p: Problems): void {}
