'use client'
import { useCallback, useEffect, useState } from 'react'
import type { Fault, Status } from './types'

/** The state of the server, polled more often while an answer is in progress. */
export function useStatus(busy: boolean) {
  const [status, setStatus] = useState<Status>()
  const [lost, setLost] = useState(false)

  const load = useCallback(async (init?: RequestInit & { path?: string }) => {
    try {
      const response = await fetch(init?.path ?? '/api/status', init)
      if (!response.ok) throw new Error(response.statusText)
      setStatus((await response.json()) as Status)
      setLost(false)
    } catch {
      setLost(true)
    }
  }, [])

  useEffect(() => {
    void load()
    const timer = setInterval(() => document.hidden || void load(), busy ? 250 : 1500)
    return () => clearInterval(timer)
  }, [busy, load])

  const choose = (fault: Fault) => {
    // The choice shows immediately; the response confirms it.
    if (status) setStatus({ ...status, fault })
    void load({
      path: '/api/fault',
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ fault }),
    })
  }
  return { status, lost, choose }
}
