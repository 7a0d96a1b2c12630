/** How names of headers are written: in lower case unless the configuration asks for something else. */
import type { HeaderCase } from './writer.ts'

/** `proper_case_words`: `content-type` → `Content-Type`. */
export const properCase: HeaderCase = {
  format: name => name.replace(/(^|-)[a-z]/g, match => match.toUpperCase()),
}
