import { compareWithEnvoy } from './compare.ts'
import { retrySuite } from './scenarios/retries.ts'

compareWithEnvoy(retrySuite)
