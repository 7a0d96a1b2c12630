import { sourceOf } from '../config/source.ts'

/** `envoy.yaml:23:17: ` for a decoded message, '' where its place is not known. */
export function placeOf(message: object | undefined): string {
  const place = message === undefined ? undefined : sourceOf(message)
  return place === undefined ? '' : `${place.file}:${place.line}:${place.column}: `
}
