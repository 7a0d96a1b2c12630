/**
 * Chromium, driven over its DevTools protocol: enough to open a page, wait for what it shows, look at what it loaded and
 * take a picture. For `npm run picture` and the tests of the page; no package is needed for it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const START_DEADLINE_MS = 30_000
const LOOK_EVERY_MS = 100

export interface PageOptions {
  readonly width?: number
  readonly height?: number
  readonly dark?: boolean
}

/** A response that the page has loaded. */
export interface Loaded {
  readonly url: string
  readonly status: number
  /** Body, as it is after any compression. */
  bytes: number
}

type Message = { readonly id?: number; readonly method?: string; readonly sessionId?: string } & Record<string, unknown>

export class Browser {
  readonly #process: ChildProcess
  readonly #profile: string
  readonly #socket: WebSocket
  readonly #answers = new Map<number, PromiseWithResolvers<Record<string, unknown>>>()
  readonly #pages = new Map<string, BrowserPage>()
  #lastId = 0

  private constructor(process: ChildProcess, profile: string, socket: WebSocket) {
    this.#process = process
    this.#profile = profile
    this.#socket = socket
    socket.addEventListener('message', event => this.#receive(JSON.parse(String(event.data)) as Message))
  }

  /** Starts `chromium`, a path or a name on PATH; rejects with its last words when it does not start. */
  static async start(chromium = process.env['CHROMIUM'] ?? 'chromium'): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), 'hopwise-browser-'))
    const child = spawn(
      chromium,
      [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--hide-scrollbars',
        '--force-color-profile=srgb',
        `--user-data-dir=${profile}`,
        '--remote-debugging-port=0',
        'about:blank',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    const kill = () => child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('exit', () => process.off('exit', kill))
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    let said = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4000)
      const url = /^DevTools listening on (ws:\S+)/m.exec(said)?.[1]
      if (url !== undefined) resolve(url)
    })
    child.once('error', reject)
    child.once('exit', code => reject(new Error(`${chromium} ended with ${code}: ${said.trim()}`)))
    const timer = setTimeout(() => reject(new Error(`${chromium} does not start: ${said.trim()}`)), START_DEADLINE_MS)
    try {
      const socket = new WebSocket(await promise)
      await new Promise<void>((opened, failed) => {
        socket.addEventListener('open', () => opened(), { once: true })
        socket.addEventListener('error', () => failed(new Error('the browser does not talk')), { once: true })
      })
      return new Browser(child, profile, socket)
    } catch (error) {
      child.kill('SIGKILL')
      rmSync(profile, { recursive: true, force: true })
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  async open(url: string, { width = 1200, height = 760, dark = false }: PageOptions = {}): Promise<BrowserPage> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true })
    const page = new BrowserPage(this, String(sessionId))
    this.#pages.set(String(sessionId), page)
    for (const domain of ['Page', 'Runtime', 'Network', 'Log']) await page.send(`${domain}.enable`)
    // Else only the page that was opened last counts as looked at.
    await page.send('Emulation.setFocusEmulationEnabled', { enabled: true })
    await page.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false })
    const features = [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }]
    await page.send('Emulation.setEmulatedMedia', { features })
    await page.send('Page.navigate', { url })
    return page
  }

  async close(): Promise<void> {
    const ended = new Promise(resolve => this.#process.once('exit', resolve))
    this.#socket.close()
    this.#process.kill('SIGKILL')
    await ended
    // What it had open is written to for a moment yet.
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async send(method: string, params: object = {}, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.#lastId
    const answer = Promise.withResolvers<Record<string, unknown>>()
    this.#answers.set(id, answer)
    this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) }))
    return await answer.promise
  }

  #receive(message: Message): void {
    if (message.id === undefined) {
      const page = message.sessionId === undefined ? undefined : this.#pages.get(message.sessionId)
      page?.receive(message.method ?? '', message['params'] as Record<string, unknown>)
      return
    }
    const answer = this.#answers.get(message.id)
    this.#answers.delete(message.id)
    const error = message['error'] as { message: string } | undefined
    if (error === undefined) answer?.resolve(message['result'] as Record<string, unknown>)
    else answer?.reject(new Error(error.message))
  }
}

export class BrowserPage {
  /** What was loaded, in order. */
  readonly loaded: Loaded[] = []
  /** Exceptions, errors of the console, and what a content security policy refused. */
  readonly errors: string[] = []
  readonly #browser: Browser
  readonly #session: string
  readonly #byRequest = new Map<string, Loaded>()

  constructor(browser: Browser, session: string) {
    this.#browser = browser
    this.#session = session
  }

  send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    return this.#browser.send(method, params, this.#session)
  }

  receive(method: string, params: Record<string, unknown>): void {
    if (method === 'Network.responseReceived') {
      const { url, status } = params['response'] as { url: string; status: number }
      const loaded = { url, status, bytes: 0 }
      this.loaded.push(loaded)
      this.#byRequest.set(String(params['requestId']), loaded)
    } else if (method === 'Network.dataReceived') {
      const loaded = this.#byRequest.get(String(params['requestId']))
      if (loaded !== undefined) loaded.bytes += Number(params['dataLength'])
    } else if (method === 'Runtime.exceptionThrown') {
      const details = params['exceptionDetails'] as { text: string; exception?: { description?: string } }
      this.errors.push(details.exception?.description ?? details.text)
    } else if (method === 'Log.entryAdded') {
      const { level, text } = params['entry'] as { level: string; text: string }
      if (level === 'error') this.errors.push(text)
    }
  }

  /** The value of an expression in the page; promises are awaited. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })
    if (exceptionDetails !== undefined) {
      const { text, exception } = exceptionDetails as { text: string; exception?: { description?: string } }
      throw new Error(exception?.description ?? text)
    }
    return (result as { value: T }).value
  }

  /** Waits until an expression in the page is truthy, and gives its value. */
  async waitFor<T>(expression: string, deadlineMs = 20_000): Promise<T> {
    const deadline = performance.now() + deadlineMs
    for (;;) {
      const value = await this.evaluate<T>(expression)
      if (value) return value
      if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${expression} in the page`)
      await delay(LOOK_EVERY_MS)
    }
  }

  /** Presses and releases a key (`Tab`, `Enter`, `Escape`). */
  async press(key: 'Tab' | 'Enter' | 'Escape'): Promise<void> {
    const code = { Tab: 9, Enter: 13, Escape: 27 }[key]
    const common = { key, code: key, windowsVirtualKeyCode: code, ...(key === 'Enter' && { text: '\r' }) }
    await this.send('Input.dispatchKeyEvent', { type: key === 'Enter' ? 'keyDown' : 'rawKeyDown', ...common })
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...common })
  }

  /** A PNG of what is in view, or of the whole page. */
  async screenshot(file: string, whole = false): Promise<void> {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: whole })
    writeFileSync(file, Buffer.from(String(data), 'base64'))
  }
}
