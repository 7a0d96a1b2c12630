import { compareWithEnvoy } from './compare.ts'
import { replySuite } from './scenarios/replies.ts'

compareWithEnvoy(replySuite)
