/** RR CLASSes (RFC 1035 section 3.2.4, RFC 2136 for NONE). */
export const CLASS = { IN: 1, CH: 3, HS: 4, NONE: 254, ANY: 255 } as const;
