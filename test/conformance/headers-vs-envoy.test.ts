import { compareWithEnvoy } from './compare.ts'
import { headerSuite } from './scenarios/headers.ts'

compareWithEnvoy(headerSuite)
