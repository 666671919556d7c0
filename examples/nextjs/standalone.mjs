// Adds the static files, which `next build` leaves out of .next/standalone because a CDN can serve them.
import { cpSync } from 'node:fs'

cpSync('.next/static', '.next/standalone/.next/static', { recursive: true })
