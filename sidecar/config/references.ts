export function checkReferences(_b: unknown, _p: unknown): void {}
export function checkFragmentReferences(_a: unknown, _b: unknown, _p: unknown): void {}
