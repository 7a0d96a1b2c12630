/**
 * Every difference from Envoy 1.40 that is meant, with the reason and where it is decided. An entry that no run needs
 * fails its suite: the list must not outlive its reasons.
 */
import type { AllowedDifference } from '../kit/side-by-side.ts'

export const allowedDifferences: readonly AllowedDifference[] = []
