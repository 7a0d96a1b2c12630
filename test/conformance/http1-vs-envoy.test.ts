import { compareWithEnvoy } from './compare.ts'
import { http1Suite } from './scenarios/http1.ts'

compareWithEnvoy(http1Suite)
