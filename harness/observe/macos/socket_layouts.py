"""The structures of sockets that libproc fills in, as XNU's headers declare them.

A test holds each of them against offsets that a C compiler gave for those headers.
"""

from __future__ import annotations

from ctypes import (
    Structure,
    Union,
    c_char,
    c_int16,
    c_int32,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
)

from harness.observe.macos.layouts import FileInfo, Stat

_LONGEST_ADDRESS = 255
"""Bytes of the address of a socket, SOCK_MAXADDRLEN."""


class _Ipv4Rest(Structure):
    _fields_ = [("in4_tos", c_uint8)]


class _Ipv6Rest(Structure):
    _fields_ = [
        ("in6_hlim", c_uint8),
        ("in6_cksum", c_int32),
        ("in6_ifindex", c_uint16),
        ("in6_hops", c_int16),
    ]


class InternetInfo(Structure):
    """in_sockinfo: the two ends of an internet socket. Ports are in the network's byte order."""

    _fields_ = [
        ("insi_fport", c_int32),
        ("insi_lport", c_int32),
        ("insi_gencnt", c_uint64),
        ("insi_flags", c_uint32),
        ("insi_flow", c_uint32),
        ("insi_vflag", c_uint8),
        ("insi_ip_ttl", c_uint8),
        ("rfu_1", c_uint32),
        ("insi_faddr", c_uint8 * 16),
        ("insi_laddr", c_uint8 * 16),
        ("insi_v4", _Ipv4Rest),
        ("insi_v6", _Ipv6Rest),
    ]


class TcpInfo(Structure):
    """tcp_sockinfo: a TCP socket."""

    _fields_ = [
        ("tcpsi_ini", InternetInfo),
        ("tcpsi_state", c_int32),
        ("tcpsi_timer", c_int32 * 4),
        ("tcpsi_mss", c_int32),
        ("tcpsi_flags", c_uint32),
        ("rfu_1", c_uint32),
        ("tcpsi_tp", c_uint64),
    ]


class UnixInfo(Structure):
    """un_sockinfo: a unix socket, and the number of the one that it is connected to."""

    _fields_ = [
        ("unsi_conn_so", c_uint64),
        ("unsi_conn_pcb", c_uint64),
        ("unsi_addr", c_char * _LONGEST_ADDRESS),
        ("unsi_caddr", c_char * _LONGEST_ADDRESS),
    ]


class BufferInfo(Structure):
    """sockbuf_info: what waits in a socket to be read, or to be sent."""

    _fields_ = [
        ("sbi_cc", c_uint32),
        ("sbi_hiwat", c_uint32),
        ("sbi_mbcnt", c_uint32),
        ("sbi_mbmax", c_uint32),
        ("sbi_lowat", c_uint32),
        ("sbi_flags", c_int16),
        ("sbi_timeo", c_int16),
    ]


class ProtocolInfo(Union):
    """The part of a socket that depends on its kind. The unix socket's is the longest."""

    _fields_ = [("pri_in", InternetInfo), ("pri_tcp", TcpInfo), ("pri_un", UnixInfo)]


class SocketInfo(Structure):
    """socket_info: any socket."""

    _fields_ = [
        ("soi_stat", Stat),
        ("soi_so", c_uint64),
        ("soi_pcb", c_uint64),
        ("soi_type", c_int32),
        ("soi_protocol", c_int32),
        ("soi_family", c_int32),
        ("soi_options", c_int16),
        ("soi_linger", c_int16),
        ("soi_state", c_int16),
        ("soi_qlen", c_int16),
        ("soi_incqlen", c_int16),
        ("soi_qlimit", c_int16),
        ("soi_timeo", c_int16),
        ("soi_error", c_uint16),
        ("soi_oobmark", c_uint32),
        ("soi_rcv", BufferInfo),
        ("soi_snd", BufferInfo),
        ("soi_kind", c_int32),
        ("rfu_1", c_uint32),
        ("soi_proto", ProtocolInfo),
    ]


class SocketFdInfo(Structure):
    """socket_fdinfo: a socket that is open."""

    _fields_ = [("pfi", FileInfo), ("psi", SocketInfo)]


class FilePath(Structure):
    """vnode_fdinfowithpath: a file that is open, with its path."""

    _fields_ = [
        ("pfi", FileInfo),
        ("stat", Stat),
        ("kind", c_int32),
        ("pad", c_int32),
        ("system", c_int32 * 2),
        ("path", c_char * 1024),
    ]


OF_XNU: dict[str, type[Structure]] = {
    "in_sockinfo": InternetInfo,
    "tcp_sockinfo": TcpInfo,
    "un_sockinfo": UnixInfo,
    "sockbuf_info": BufferInfo,
    "socket_info": SocketInfo,
    "socket_fdinfo": SocketFdInfo,
}
"""Each structure by its name in XNU."""
