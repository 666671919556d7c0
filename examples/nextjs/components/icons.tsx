import type { ReactNode } from 'react'

function Icon({ children, size = 18 }: { children: ReactNode; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="2"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  )
}

export const SendIcon = () => (
  <Icon>
    <path d="M12 19V5M6 11l6-6 6 6" />
  </Icon>
)
export const StopIcon = () => (
  <Icon>
    <rect x="7" y="7" width="10" height="10" rx="1.5" fill="currentColor" />
  </Icon>
)
export const PlusIcon = () => (
  <Icon size={16}>
    <path d="M12 5v14M5 12h14" />
  </Icon>
)
export const PanelIcon = () => (
  <Icon size={16}>
    <path d="M3 12h4l3-7 4 14 3-7h4" />
  </Icon>
)
export const CheckIcon = () => (
  <Icon size={14}>
    <path d="M5 12.5l4.5 4.5L19 7.5" />
  </Icon>
)
export const Logo = () => (
  <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="9" fill="var(--accent)" />
    <path
      d="M9 17.5a4 4 0 0 1 1.6-7.6 5.6 5.6 0 0 1 10.6 0A4 4 0 0 1 23 17.5a3.6 3.6 0 0 1-3.4 3.6h-7.2A3.6 3.6 0 0 1 9 17.5Z"
      fill="var(--on-accent)"
    />
    <path d="M12.5 21v3.2M19.5 21v3.2" stroke="var(--on-accent)" strokeWidth="2" strokeLinecap="round" />
  </svg>
)
