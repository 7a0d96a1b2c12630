/**
 * Finds the end of a message head, checks every byte of it once, and marks where its parts are; what the parts mean is
 * the business of `request-head.ts` and `response-head.ts`.
 *
 *     request:   Method → Target → Version ┐                    ┌──────────────────────────┐
 *                                          ├→ LineLf → LineStart → Name → Space → Value → ValueLf
 *     response:  Version → Status → Reason ┘                └→ EndLf → done
 *
 * A head that is in one chunk is read in place. Of one that comes in pieces the pieces are gathered, once each, in a
 * buffer no larger than the limit, and the machine goes on at the byte where it stopped: no byte is looked at twice, so
 * that a head sent byte by byte costs its length and not the square of it.
 *
 * Each mistake is found at the byte that makes it one, whatever the split.
 */
import { IS_TARGET, IS_TOKEN } from './characters.ts'
import { type Http1Error, Http1Errors } from './error.ts'
import type { Http1Limits } from './framing.ts'
import { HASH_SEED, type KnownName, knownName, MAX_KNOWN_LENGTH, startsWith } from './header-names.ts'

const State = {
  LeadingLines: 0,
  LeadingLf: 1,
  Method: 2,
  Target: 3,
  Version: 4,
  LineCr: 5,
  LineLf: 6,
  Status: 7,
  AfterStatus: 8,
  Reason: 9,
  LineStart: 10,
  Name: 11,
  Space: 12,
  Value: 13,
  ValueLf: 14,
  EndLf: 15,
} as const
type State = (typeof State)[keyof typeof State]

export type HeadKind = 'request' | 'response' | 'trailers'

/** RFC 9112 §2.2 lets a server ignore "at least one" empty line before a request; four are patience enough. */
const MAX_LEADING_LINES = 4
/** UNSUBSCRIBE has 11; what is much longer is not HTTP. */
const MAX_METHOD_BYTES = 32

/** Numbers per header in {@link HeadScanner.marks}: start and end of the name, start and end of the value. */
export const MARKS = 4

/**
 * Where the parts of the head under way are: one array for all parsers, since a head is scanned and read out in one go.
 * A head that stays incomplete takes a copy with it.
 */
let sharedMarks = new Int32Array(128 * MARKS)
/** The names that go with them; undefined for one whose bytes came in two pieces, and for a long one. */
const sharedNames: (KnownName | undefined)[] = []

const VERSION = [0x48, 0x54, 0x54, 0x50, 0x2f, 0x31, 0x2e] // HTTP/1.

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SP = 0x20
const SLASH = 0x2f
const COLON = 0x3a
const DEL = 0x7f
const TLS_HANDSHAKE = 0x16

export class HeadScanner {
  readonly #kind: HeadKind
  readonly #maxBytes: number
  readonly #maxHeaders: number
  #state: State
  /** Bytes of this head before the current chunk; they are in `#gathered`. */
  #before = 0
  #gathered: Buffer | undefined
  #savedMarks: Int32Array | undefined
  #savedNames: (KnownName | undefined)[] | undefined
  /** The name of the first header of the last head. */
  #first: KnownName | undefined
  /** Bytes of the version or digits of the status matched so far; empty lines before a request. */
  #matched = 0
  #leadingLines = 0
  #isPath = false

  // The result, valid when `done`.
  done = false
  error: Http1Error | undefined
  /** The bytes of the whole head are `source[offset, offset + length)`. Marks count from `offset`. */
  source: Buffer
  offset = 0
  length = 0
  headers = 0
  marks = sharedMarks
  readonly names = sharedNames
  methodEnd = 0
  targetEnd = 0
  version: 10 | 11 = 11
  status = 0

  constructor(kind: HeadKind, limits: Http1Limits) {
    this.#kind = kind
    this.#maxBytes = limits.maxHeadBytes
    this.#maxHeaders = limits.maxHeaders
    this.#state = startOf(kind)
    this.source = NOTHING
    const needed = (limits.maxHeaders + 1) * MARKS
    if (sharedMarks.length < needed) sharedMarks = new Int32Array(needed)
  }

  /** No byte of the head has come; empty lines before it do not count. */
  get untouched(): boolean {
    return this.#before === 0
  }

  /** Forgets the head that is done; the next byte begins another. */
  reset(): void {
    this.#state = startOf(this.#kind)
    this.#before = 0
    this.#leadingLines = 0
    this.#matched = 0
    this.#savedMarks = undefined
    this.#savedNames = undefined
    this.done = false
    this.headers = 0
    this.source = NOTHING
    // Kept for the next head in pieces, unless it grew large.
    if (this.#gathered !== undefined && this.#gathered.length > 4096) this.#gathered = undefined
  }

  /**
   * Goes on with the head and returns the offset after the last byte that belongs to it: `end` while it is incomplete;
   * where `done`, the first byte after the head; where `error` is set, the byte that made the mistake.
   */
  scan(chunk: Buffer, start: number, end: number): number {
    let state: State = this.#state
    let i = start
    if (state <= State.LeadingLf) {
      i = this.#skipLeadingLines(chunk, start, end)
      if (i === end || this.error !== undefined) return i
      state = State.Method
      start = i
    }
    const marks = sharedMarks
    const names = sharedNames
    if (this.#savedMarks !== undefined) this.#restore()
    const maxHeaders = this.#maxHeaders
    /** Offset in the head = offset in the chunk + delta. */
    const delta = this.#before - start
    const limit = Math.min(end, start + this.#maxBytes - this.#before)
    let headers = this.headers
    /** Most peers send the same names in the same order each time: compared with its guess, a name is read once. */
    let previous = headers > 0 ? names[headers - 1] : undefined
    if (state >= State.Space && state <= State.ValueLf) previous = names[headers]
    /** Offset in the chunk where the name under way begins; -1 when it began in an earlier one. */
    let nameStart = -1
    let mark = headers * MARKS
    let error: Http1Error | undefined

    scanning: while (i < limit) {
      if (state === State.LineStart) {
        const byte = chunk[i]!
        if (IS_TOKEN[byte] === 1) {
          if (headers === maxHeaders) {
            error = Http1Errors.tooManyHeaders
            break
          }
          marks[mark] = i + delta
          const guess: KnownName | undefined = headers === 0 ? this.#first : previous?.next
          if (guess !== undefined && guess.raw.length <= limit - i && startsWith(chunk, i, guess.raw)) {
            i += guess.raw.length
            marks[mark + 1] = i + delta - 1
            names[headers] = previous = guess
            state = State.Space
          } else {
            nameStart = i
            state = State.Name
          }
        } else if (byte === CR) {
          i++
          state = State.EndLf
          continue
        } else {
          error = badLineStart(byte)
          break
        }
      }
      if (state === State.Name) {
        let byte = 0
        let hash = HASH_SEED
        while (i < limit && IS_TOKEN[(byte = chunk[i]!)] === 1) {
          hash = (Math.imul(hash, 31) + byte) | 0
          i++
        }
        if (i === limit) break
        if (byte !== COLON) {
          error = badName(byte)
          break
        }
        marks[mark + 1] = i + delta
        if (nameStart >= 0 && i - nameStart <= MAX_KNOWN_LENGTH) {
          const known = knownName(hash, chunk, nameStart, i)
          names[headers] = known
          if (headers === 0) this.#first = known
          else if (previous !== undefined) previous.next = known
          previous = known
        } else names[headers] = previous = undefined
        i++
        state = State.Space
      }
      if (state === State.Space) {
        let byte = SP
        while (i < limit && ((byte = chunk[i]!) === SP || byte === TAB)) i++
        if (i === limit) break
        marks[mark + 2] = i + delta
        state = State.Value
      }
      if (state === State.Value) {
        let byte = 0
        while (i < limit && (((byte = chunk[i]!) >= SP && byte !== DEL) || byte === TAB)) i++
        if (i === limit) break
        if (byte !== CR) {
          error = byte === LF ? Http1Errors.bareLf : Http1Errors.controlInValue
          break
        }
        marks[mark + 3] = i + delta
        i++
        if (i === limit) {
          state = State.ValueLf
          break
        }
        if (chunk[i] !== LF) {
          error = Http1Errors.bareCr
          break
        }
        i++
        headers++
        mark += MARKS
        state = State.LineStart
        continue
      }
      switch (state) {
        case State.ValueLf:
          if (chunk[i] !== LF) {
            error = Http1Errors.bareCr
            break scanning
          }
          i++
          headers++
          mark += MARKS
          state = State.LineStart
          break
        case State.EndLf:
          if (chunk[i] !== LF) {
            error = Http1Errors.bareCr
            break scanning
          }
          i++
          this.done = true
          break scanning
        case State.Method: {
          const max = Math.min(limit, MAX_METHOD_BYTES - delta)
          while (i < max && IS_TOKEN[chunk[i]!] === 1) i++
          if (i === limit) break scanning
          const length = i + delta
          if (chunk[i] !== SP || length === 0) {
            error = badMethod(chunk[i]!, length)
            break scanning
          }
          this.methodEnd = length
          i++
          state = State.Target
          break
        }
        case State.Target: {
          if (i + delta === this.methodEnd + 1) this.#isPath = chunk[i] === SLASH
          while (i < limit && IS_TARGET[chunk[i]!] === 1) i++
          if (i === limit) break scanning
          if (chunk[i] !== SP || i + delta === this.methodEnd + 1) {
            error = badTargetByte(chunk[i]!, this.#isPath)
            break scanning
          }
          this.targetEnd = i + delta
          i++
          this.#matched = 0
          state = State.Version
          break
        }
        case State.Version: {
          let matched = this.#matched
          while (i < limit && matched < 7 && chunk[i] === VERSION[matched]) {
            i++
            matched++
          }
          this.#matched = matched
          if (i === limit) break scanning
          const digit = chunk[i]! - 0x30
          if (matched < 7 || digit < 0 || digit > 1) {
            error = this.#badVersion(chunk, start, i, matched)
            break scanning
          }
          this.version = digit === 1 ? 11 : 10
          i++
          this.#matched = 0
          this.status = 0
          state = this.#kind === 'request' ? State.LineCr : State.Status
          break
        }
        case State.LineCr:
          if (chunk[i] !== CR) {
            error = chunk[i] === LF ? Http1Errors.bareLf : Http1Errors.badRequestLine
            break scanning
          }
          i++
          state = State.LineLf
          break
        case State.LineLf:
          if (chunk[i] !== LF) {
            error = Http1Errors.bareCr
            break scanning
          }
          i++
          state = State.LineStart
          break
        case State.Status: {
          // SP and three digits.
          let matched = this.#matched
          while (i < limit && matched < 4) {
            const digit = chunk[i]! - 0x30
            // The first digit is 1 to 5 by RFC 9110 §15, but 6 to 9 are seen and have a meaning to somebody.
            if (matched === 0 ? chunk[i] !== SP : digit < (matched === 1 ? 1 : 0) || digit > 9) {
              error = Http1Errors.badStatusLine
              break scanning
            }
            if (matched > 0) this.status = this.status * 10 + digit
            matched++
            i++
          }
          this.#matched = matched
          if (matched === 4) state = State.AfterStatus
          break
        }
        case State.AfterStatus:
          // The space should be there even without a reason (RFC 9112 §4); many servers leave it out.
          if (chunk[i] === SP) state = State.Reason
          else if (chunk[i] === CR) state = State.LineLf
          else {
            error = chunk[i] === LF ? Http1Errors.bareLf : Http1Errors.badStatusLine
            break scanning
          }
          i++
          break
        case State.Reason: {
          let byte = 0
          while (i < limit && (((byte = chunk[i]!) >= SP && byte !== DEL) || byte === TAB)) i++
          if (i === limit) break scanning
          if (byte !== CR) {
            error = byte === LF ? Http1Errors.bareLf : Http1Errors.badReason
            break scanning
          }
          i++
          state = State.LineLf
          break
        }
      }
    }

    this.headers = headers
    if (error !== undefined) {
      this.error = error
      return i
    }
    if (this.done) {
      this.length = i + delta
      if (this.#before === 0) {
        this.source = chunk
        this.offset = start
      } else {
        this.#gather(chunk, start, i)
        this.source = this.#gathered!
        this.offset = 0
      }
      this.marks = marks
      return i
    }
    // Every byte up to the limit is used up, the head goes on, and there are more bytes.
    if (limit < end) {
      this.error = Http1Errors.headTooLarge
      return limit
    }
    this.#state = state
    if (start < end) this.#gather(chunk, start, end)
    this.#savedMarks = marks.slice(0, mark + MARKS)
    this.#savedNames = names.slice(0, headers + 1)
    return end
  }

  #restore(): void {
    sharedMarks.set(this.#savedMarks!)
    const saved = this.#savedNames!
    for (let i = 0; i < saved.length; i++) sharedNames[i] = saved[i]
    this.#savedMarks = undefined
    this.#savedNames = undefined
  }

  /** CRLFs before a request line; the offset of the first other byte. */
  #skipLeadingLines(chunk: Buffer, start: number, end: number): number {
    let i = start
    while (i < end) {
      const byte = chunk[i]!
      if (this.#state === State.LeadingLf) {
        if (byte !== LF) {
          this.error = Http1Errors.bareCr
          return i
        }
        this.#state = State.LeadingLines
      } else if (byte === CR && this.#leadingLines < MAX_LEADING_LINES) {
        this.#leadingLines++
        this.#state = State.LeadingLf
      } else {
        this.#state = State.Method
        return i
      }
      i++
    }
    return i
  }

  /** Keeps a piece of the head. Doubling, so that each byte is copied less than three times in all. */
  #gather(chunk: Buffer, start: number, end: number): void {
    const needed = this.#before + end - start
    let gathered = this.#gathered
    if (gathered === undefined || gathered.length < needed) {
      const larger = Buffer.allocUnsafeSlow(Math.max(1024, Math.min(needed * 2, this.#maxBytes), needed))
      if (gathered !== undefined) gathered.copy(larger, 0, 0, this.#before)
      this.#gathered = gathered = larger
    }
    chunk.copy(gathered, this.#before, start, end)
    this.#before = needed
  }

  #badVersion(chunk: Buffer, start: number, i: number, matched: number): Http1Error {
    if (this.#kind === 'response') return Http1Errors.badStatusLine
    const byte = chunk[i]!
    const digit = byte >= 0x30 && byte <= 0x39
    if (matched < 5 || matched === 6 || !digit) return byte === LF ? Http1Errors.bareLf : Http1Errors.badVersion
    if (matched === 7) return Http1Errors.highVersion
    if (byte === 0x30) return Http1Errors.http09
    // HTTP/2 and above: the preface is worth its own name, since it tells which codec the peer wanted.
    const before = this.#gathered === undefined ? '' : this.#gathered.latin1Slice(0, this.#before)
    const text = before + chunk.latin1Slice(start, i + 1)
    return text === 'PRI * HTTP/2' ? Http1Errors.http2Preface : Http1Errors.highVersion
  }
}

const NOTHING = Buffer.alloc(0)

function startOf(kind: HeadKind): State {
  if (kind === 'request') return State.LeadingLines
  return kind === 'response' ? State.Version : State.LineStart
}

function badMethod(byte: number, length: number): Http1Error {
  if (length === 0 && byte === TLS_HANDSHAKE) return Http1Errors.tlsClientHello
  if (byte === LF) return Http1Errors.bareLf
  return length > 0 && byte === CR ? Http1Errors.badRequestLine : Http1Errors.badMethod
}

function badLineStart(byte: number): Http1Error {
  if (byte === SP || byte === TAB) return Http1Errors.obsFold
  if (byte === COLON) return Http1Errors.emptyName
  if (byte === LF) return Http1Errors.bareLf
  return byte < SP || byte === DEL ? Http1Errors.controlInName : Http1Errors.badName
}

function badName(byte: number): Http1Error {
  if (byte === SP || byte === TAB) return Http1Errors.spaceBeforeColon
  if (byte === CR) return Http1Errors.missingColon
  if (byte === LF) return Http1Errors.bareLf
  return byte < SP || byte === DEL ? Http1Errors.controlInName : Http1Errors.badName
}

function badTargetByte(byte: number, isPath: boolean): Http1Error {
  if (byte === CR) return isPath ? Http1Errors.http09 : Http1Errors.badRequestLine
  if (byte === LF) return Http1Errors.bareLf
  if (byte === SP) return Http1Errors.badRequestLine
  if (byte === TAB) return Http1Errors.badTargetCharacter
  return byte < SP || byte === DEL ? Http1Errors.controlInTarget : Http1Errors.badTargetCharacter
}
