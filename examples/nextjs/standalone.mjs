// What `next build` leaves out of .next/standalone because a CDN could serve it: here the app itself does.
import { cpSync } from 'node:fs'

cpSync('.next/static', '.next/standalone/.next/static', { recursive: true })
