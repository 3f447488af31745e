//! Well-formed inputs to begin from, and the malformed ones of RFC 4475 and RFC 5118.

#[path = "../../tsp-sip/tests/torture/expand.rs"]
mod expand;

/// The corpus of a target; never empty.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "sip-datagram" => {
            let own = SIP.iter().map(|text| text.replace('\n', "\r\n").into_bytes());
            own.chain(torture()).collect()
        }
        "sip-stream" => streams(),
        "sdp" => SDP.iter().map(|text| text.replace('\n', "\r\n").into_bytes()).collect(),
        "at" => at(),
        "clcc" => CLCC.iter().map(|text| text.replace('\n', "\r\n").into_bytes()).collect(),
        "dle" => DLE.iter().map(|bytes| bytes.to_vec()).collect(),
        "caller-id" => CALLER_ID.iter().map(|text| text.replace('\n', "\r\n").into_bytes()).collect(),
        "pdu" => PDU.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "rtp" | "srtp" => rtp(),
        "rtcp" => rtcp(),
        _ => SOCKET.iter().map(|text| text.as_bytes().to_vec()).collect(),
    }
}

const PDU: &[&str] = &[
    "07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37",
    "0006420B916407281553F8621132200000406211322000004000",
    "0041000B916407281553F80008A70A0500030102010416042F",
];

const SIP: &[&str] = &[
    "INVITE sip:100@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKa1;rport\nMax-Forwards: 70\n\
     From: \"A, B\" <sip:a@127.0.0.1>;tag=77\nTo: <sip:100@127.0.0.1>\nCall-ID: c1@127.0.0.1\nCSeq: 1 INVITE\n\
     Contact: <sip:a@127.0.0.1:5070>\nContent-Type: application/sdp\nContent-Length: 129\n\nv=0\no=a 1 1 IN IP4 127.0.0.1\ns=-\n\
     c=IN IP4 127.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0 8 101\na=rtpmap:101 telephone-event/8000\n",
    "i: c2\nv: SIP/2.0/UDP [::1]:5060;branch=z9hG4bKb , SIP/2.0/TCP h;branch=x\n",
    "OPTIONS sip:100@127.0.0.1;transport=udp?a=b SIP/2.0\nv: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKo1\nf: <sip:a@h>;tag=1\n\
     t: sip:100@h\ni: o1\nCSeq: 7 OPTIONS\nSubject : folded\n  twice\n\tover\nl: 0\n\n",
    "SIP/2.0 180 Ringing\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKa1\nFrom: <sip:a@h>;tag=1\nTo: <sip:b@h>;tag=2\nCall-ID: c1\n\
     CSeq: 1 INVITE\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\nContact: <sip:b@127.0.0.1:5071>\nContent-Length: 0\n\n",
    "ACK sip:100@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKa2\nFrom: <sip:a@127.0.0.1>;tag=77\n\
     To: <sip:100@127.0.0.1>;tag=9\nCall-ID: c1@127.0.0.1\nCSeq: 1 ACK\nContent-Length: 0\n\n",
    "BYE tel:+15550100;phone-context=x SIP/2.0\nVia: SIP/2.0/UDP h\nFrom: a <tel:+1>;tag=1\nTo: b <sip:h>;tag=2\nCall-ID: c3\n\
     CSeq: 2147483647 BYE\nReason: Q.850;cause=16;text=\"x\"\n\n",
    "CANCEL sip:100@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKa1\nFrom: <sip:a@127.0.0.1>;tag=77\n\
     To: <sip:100@127.0.0.1>\nCall-ID: c1@127.0.0.1\nCSeq: 1 CANCEL\nRequire: x\n\n",
];

/// Test messages of the RFCs.
fn torture() -> Vec<Vec<u8>> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tsp-sip/tests/torture");
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).map(|text| expand::expand(&text)).collect()
}

/// Several messages behind one another, with line ends between them.
fn streams() -> Vec<Vec<u8>> {
    let framed = |text: &&str| text.replacen("\n\n", "\nContent-Length: 0\n\n", 1).replace('\n', "\r\n").into_bytes();
    let all: Vec<Vec<u8>> = SIP.iter().map(framed).collect();
    let mut streams = torture();
    streams.extend([all.concat(), [&b"\r\n\r\n"[..], &all.concat(), b"\r\n"].concat(), all.join(&b"\r\n\r\n"[..])]);
    streams
}

const SDP: &[&str] = &[
    "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\na=sendonly\nm=audio 4000 RTP/AVP 0 8 101\na=rtpmap:0 PCMU/8000\n\
     a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\nm=video 5000 RTP/AVP 31\n",
    "v=0\no=x 18446744073709551615 2 IN IP6 ::1\ns=\nt=0 0\nm=audio 9 RTP/AVP 96 97\nc=IN IP6 ::1\na=rtpmap:96 PCMA/8000/1\na=inactive\n",
    "v=0\no=- 1 1 IN IP4 h\ns=-\nt=0 0\nm=image 0 udptl t38\nm=audio 4000/2 RTP/SAVP 8\nc=IN IP4 0.0.0.0\na=crypto:1 x y\n",
];

/// What modems say, whole and in pieces, before and after the line is in service, with and without wishes of the server.
fn at() -> Vec<Vec<u8>> {
    let hows: [[u8; 4]; 8] = [
        [255, 0xFF, 0x00, 0x80],
        [64, 0x55, 0x01, 0x81],
        [40, 0xFF, 0x11, 0x82],
        [255, 0x0F, 0x03, 0x83],
        [80, 0xFF, 0x05, 0x84],
        [16, 0xFF, 0x22, 0x85],
        [1, 0x01, 0x09, 0x86],
        [120, 0xAA, 0xFF, 0x07],
    ];
    let said = AT.iter().chain(CLCC).map(|text| text.replace('\n', "\r\n").into_bytes());
    said.flat_map(|text| hows.map(|how| [&how[..], &text].concat())).collect()
}

const AT: &[&str] = &[
    "\nOK\n\nRING\n\nDATE=0801\n\nTIME=1801\n\nNMBR=8055554567\n\nNAME=SMITH JOHN\n\nRING\n",
    "AT+CLCC\r\n+CLCC: 1,1,4,0,0,\"123456789\",129,\"\",,0\n+CLCC: 2,0,0,0,1\n\nOK\n",
    "\n+CRING: VOICE\n\n+CLIP: \"15550100\",145,\"\",,\"A\",0\n\n+CREG: 2,1,\"00AB\",\"01CD\"\n\n+CSQ: 17,99\n\nOK\n",
    "\n+CME ERROR: 30\n\nNO CARRIER\n\nBUSY\n\nNO DIAL TONE\n\nVCON\nCOMMAND NOT SUPPORT\n\nCONNECT\n",
    "ATE0V1\r\r\nOK\r\n+VSM: 1,\"UNSIGNED PCM\",8,0,(7200,8000),(0),(0)\n0\nOK\n",
    "+VSM: 128,\"8-BIT LINEAR\",8,0,(7200,8000),(0),(0)\n131,\"ULAW\",8,0,8000,0,00\n140,\"2 Bit ADPCM\",2,0,8000\n+VSM=0-1,8000-8000\nOK\n",
    "CONNECT\n\x10R\x10s\x10/\x105\x105\x10~\x10b\x10b\x10d\x10l\x10X\nDATE=0801\nNMBR=8055554567\x10.\x10\x03\nOK\n",
    "^ORIG:1,0\n^CONF:1\n^CONN:1,0\n^DDTMF:5\n^CEND:1,5,29,16\n+CUSD: 0,\"AA180DA6\",15\n^RSSI:20\n",
    "+QIND: \"ccinfo\",2,0,3,0,0,\"4930300\",129\n+QIND: \"ccinfo\",2,0,-1,0,0,\"4930300\",129\n+QTONEDET: 53\nRDY\n+CPIN: NOT INSERTED\n",
    "VOICE CALL: BEGIN\n+RXDTMF: 5\nVOICE CALL: END: 000041\n+CCWA: \"4930300\",129,1,,0\n+CSSU: 2\nRING;717171;999999\n",
];

/// Call lists of the field, and what stands beside them.
const CLCC: &[&str] = &[
    "+CLCC: 1,1,4,0,0,\"123456789\",129,\"\",,0\n",
    "+CLCC: 1,1,0,0,1\n+CLCC: 2,0,1,0,1,\"+491701234567\",145\n+CLCC: 7,1,5,0,0,\"\",128\n",
    "+CLCC: 1,0,2,0,0,\"12345\",129\n+CLCC: 1,0,3,0,0,\"12345\",129\n+CLCC: 1,0,0,0,0,\"12345\",129\n",
    "+CLIP: \"1234567\",129,,,,0\n+CLIP: \"\",128,,,,1\nRING\n+CEER: 5,16,Normal call clearing\nCC setup error,17,User busy\n",
];

const DLE: &[&[u8]] = &[
    b"\x80\x81\x10\x10\x7f\x10\x1a\x10/\x105\x105\x10~\x80\x10R\x10\x03\r\nOK\r\n",
    b"\x10\x10\x10\x03\x10b\x10b\x10d\x10l\x10s\x10q\x10u\x10o",
    b"\x10XDRON=20\r\nDROF=40\r\n\x10.\x80\x80\x10\x18\x10\x03",
];

const CALLER_ID: &[&str] = &[
    "DATE=0801\nTIME=1801\nNMBR=8055554567\nNAME=SMITH JOHN\nDDN_NMBR=1\nMESG=HELLO\n",
    "8003020137\n040A3038303131383031373703\n030735353531323132\n80170108303830313138303102023132040150070141080150C0\n",
    "RING;717171;999999\nRING: 3 DN9 8888\nRING/0666\nRING B\nFM:1234 TO:35655023\nDROF=0\nDRON=11\nRING\nDSC=2\nRING\n090909\n",
    "NMBR = P\nNAME = OUT OF AREA\nREASON FOR NO CALLER NUMBER: O\nDiverting number: 12\n+CLIP: \"\",128,,,,1\nERRM\n",
];

fn rtp() -> Vec<Vec<u8>> {
    let packet = |first: u8, kind: u8, seq: u16, payload: &[u8]| {
        let mut bytes = vec![first, kind];
        bytes.extend(seq.to_be_bytes());
        bytes.extend([0, 0, 0, 160, 1, 2, 3, 4]);
        bytes.extend(payload);
        bytes
    };
    vec![
        packet(0x80, 0, 1, &[0xff; 160]),
        packet(0x80, 0x80, 2, &[0x7f; 160]),
        packet(0x80, 8, 3, &[0xd5; 80]),
        packet(0x80, 0x80 | 101, 4, &[5, 10, 0, 160]),
        packet(0x80, 101, 5, &[5, 0x8a, 3, 32]),
        packet(0xb2, 0, 6, &[0; 40]),
        packet(0x81, 200, 7, &[0; 24]),
        packet(0x80, 13, 8, &[40]),
    ]
}

fn rtcp() -> Vec<Vec<u8>> {
    let mut sender = vec![0x81, 200, 0, 12, 0, 0, 0, 9];
    sender.extend([0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 160, 0, 0, 0, 5, 0, 0, 3, 32]);
    sender.extend([1, 2, 3, 4, 12, 0, 0, 50, 0, 1, 1, 0xcf, 0, 0, 0, 20, 0, 1, 0x80, 0, 0, 0, 0x40, 0]);
    let name = [0x81, 202, 0, 3, 0, 0, 0, 9, 1, 3, b'a', b'b', b'c', 0, 0, 0];
    let bye = [0x81, 203, 0, 1, 0, 0, 0, 9];
    let receiver = [0x80, 201, 0, 1, 0, 0, 0, 9];
    vec![
        [&sender[..], &name, &bye].concat(),
        [&receiver[..], &name].concat(),
        [&sender[..], &name, &[0x80, 207, 0, 1, 0, 0, 0, 9]].concat(),
        receiver.to_vec(),
    ]
}

const SOCKET: &[&str] = &[
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"client.open\",\"params\":{\"app\":\"x\",\"linger_ms\":10}}\n",
    "{\"id\":2,\"method\":\"line.open\",\"params\":{\"line\":\"sip:trunk\",\"privileges\":[\"owner\",\"monitor\"]}}\n{\"id\":3}\n",
    "{\"id\":4,\"method\":\"call.make\",\"params\":{\"line\":17,\"to\":\"100\"}}\n{\"id\":5,\"method\":\"call.tone\",\"params\":{\"call\":9,\"hz\":[440],\"duration_ms\":5}}\n",
    "{\"id\":6,\"method\":\"call.drop\",\"params\":{\"call\":9,\"reason\":\"busy\"}}\n[1,2,[3,[4]]]\nnull\n\"\\u0000\"\n",
];
