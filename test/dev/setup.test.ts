import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { packagesAreCurrent } from '../../dev/setup.mjs'

const read = (file: string) => JSON.parse(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')).packages

test('the packages with which the tests run are those of the lock file', () => {
  expect(packagesAreCurrent(read('package-lock.json'), read('node_modules/.package-lock.json'))).toBe(true)
})

test('a package of another version is not current', () => {
  expect(
    packagesAreCurrent({ 'node_modules/a': { version: '2.0.0' } }, { 'node_modules/a': { version: '1.0.0' } }),
  ).toBe(false)
})

test('a missing package is not current, unless it is meant for other platforms', () => {
  expect(packagesAreCurrent({ 'node_modules/a': { version: '1.0.0' } }, {})).toBe(false)
  expect(packagesAreCurrent({ 'node_modules/a': { version: '1.0.0', optional: true } }, {})).toBe(true)
})
