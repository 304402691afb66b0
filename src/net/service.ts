/**
 * The service names that tcpdump prints in place of ports when `-n` is missing, and their ports.
 * A name that two systems give to different ports is left out: the packet's ports then stay unknown.
 * Source: the IANA service name registry and Debian's /etc/services.
 */

/** `port:name,alias` by port: the well-known services, and what IANA names in the ephemeral range. */
const SERVICES = `
1:tcpmux 7:echo 9:discard,sink,null 11:systat,users 13:daytime 15:netstat 17:qotd,quote
19:chargen,ttytst,source 20:ftp-data 21:ftp,fsp,fspd 22:ssh 23:telnet 25:smtp,mail
37:time,timserver 43:whois,nicname 49:tacacs 53:domain 67:bootps 68:bootpc 69:tftp 70:gopher
79:finger 80:http,www 88:kerberos,kerberos5,krb5,kerberos-sec 102:iso-tsap,tsap 104:acr-nema
106:poppassd 110:pop3,pop-3 111:sunrpc,portmapper 113:auth,authentication,tap,ident
119:nntp,readnews,untp 123:ntp 135:epmap,loc-srv 137:netbios-ns 138:netbios-dgm 139:netbios-ssn
143:imap2,imap 161:snmp 162:snmp-trap,snmptrap 163:cmip-man 164:cmip-agent 174:mailq 177:xdmcp
179:bgp 199:smux 209:qmtp 210:z3950,wais 213:ipx 319:ptp-event 320:ptp-general 345:pawserv
346:zserv 369:rpc2portmap 370:codaauth2 371:clearcase 389:ldap 427:svrloc 443:https 444:snpp
445:microsoft-ds 464:kpasswd 465:submissions,ssmtp,smtps,urd 487:saft 500:isakmp
512:exec,biff,comsat 513:login,who,whod 514:shell,cmd,syslog 515:printer,spooler 517:talk
518:ntalk 520:route,router,routed 538:gdomap 540:uucp,uucpd 543:klogin 544:kshell,krcmd
546:dhcpv6-client 547:dhcpv6-server 548:afpovertcp 554:rtsp 563:nntps,snntp 587:submission 607:nqs
623:asf-rmcp 628:qmqp 631:ipp 636:ldaps 646:ldp 655:tinc 706:silc 749:kerberos-adm
750:kerberos4,kerberos-iv,kdc 751:kerberos-master,kerberos_master 752:passwd-server,passwd_server
754:krb-prop,krb_prop,krb5_prop,hprop 775:moira-db,moira_db 777:moira-update,moira_update
779:moira-ureg,moira_ureg 783:spamd 853:domain-s 860:iscsi 871:supfilesrv 873:rsync 989:ftps-data
990:ftps 992:telnets 993:imaps 995:pop3s 1080:socks 1093:proofd 1094:rootd 1099:rmiregistry
1111:lmsocialserver 1127:supfiledbg 1178:skkserv 1194:openvpn 1210:predict 1234:search-agent
1236:rmtcfg 1313:xtel 1314:xtelw 1337:menandmice-dns 1352:lotusnote,lotusnotes 1433:ms-sql-s
1434:ms-sql-m 1521:ncube-lm 1524:ingreslock 1645:datametrics,old-radius
1646:sa-msg-port,old-radacct 1649:kermit 1677:groupwise 1701:l2f,l2tp 1720:h323hostcall 1723:pptp
1812:radius 1813:radius-acct,radacct 1883:mqtt 1900:ssdp 1935:macromedia-fcs 1970:netop-rc 1984:bb
1985:hsrp 2000:cisco-sccp 2001:dc,wizard 2003:brutus 2004:emce,mailbox 2010:pipe-server,search
2049:nfs 2086:gnunet 2101:rtcm-sc104 2102:zephyr-srv 2103:zephyr-clt 2104:zephyr-hm 2105:minipay
2119:gsigatekeeper 2121:iprop 2135:gris 2181:eforward 2222:ethernet-ip-1 2323:3d-nfsd 2375:docker
2376:docker-s 2377:swarm 2379:etcd-client 2380:etcd-server 2381:compaq-https 2382:ms-olap3
2383:ms-olap4 2401:cvspserver 2424:kofax-svr 2430:venus 2431:venus-se 2432:codasrv 2433:codasrv-se
2480:powerexchange 2525:ms-v-worlds 2598:citriximaclient 2600:zebrasrv 2601:zebra,discp-client
2602:ripd 2603:ripngd 2604:ospfd,nsc-ccs 2605:bgpd,nsc-posa 2606:ospf6d 2607:ospfapi 2608:isisd
2628:dict 2775:smpp 2792:f5-globalsite 2811:gsiftp 2888:spcsdlobby 2947:gpsd 2967:ssc-agent
2989:zarkov 3000:hbci 3001:origo-native 3030:arepa-cas 3050:gds-db,gds_db 3100:opcon-xps
3128:ndl-aas 3130:icpv2 3205:isns 3260:iscsi-target 3268:msft-gc 3269:msft-gc-ssl 3306:mysql
3310:dyna-access 3333:dec-notes 3389:ms-wbt-server 3478:stun 3493:nut 3527:beserver-msg-q
3632:distcc 3689:daap 3690:svn,subversion 3702:ws-discovery 3784:bfd-control 3785:bfd-echo
3868:diameter 3872:oem-agent 3888:ciphire-serv 3899:itv-control 4000:terabase 4001:newoak
4002:pxc-spvr-ft 4003:pxc-splr-ft 4031:suucp 4040:yo-main 4094:sysrqd 4095:xtgui 4190:sieve
4194:spdm 4317:opentelemetry 4321:rwhois 4353:f5-iquery 4369:epmd 4373:remctl 4443:pharos
4444:krb524 4445:upnotifyp 4460:ntske 4500:ipsec-nat-t 4557:fax 4559:hylafax 4569:iax
4646:dots-signal 4661:kar2ouche 4662:oms 4691:mtn 4711:trinity-dist 4730:gearman 4739:ipfix
4741:lumimgrd 4789:vxlan 4840:opcua-tcp,opcua-udp 4843:opcua-tls 4848:appserv-http
4899:radmin-port 4900:hfcs 4949:munin,lrrd 4950:sybasesrvmon 5000:commplex-main 5001:commplex-link
5005:avt-profile-2 5010:telelpathstart 5020:zenginkyo-1 5022:mice 5044:lxi-evntsvc 5050:mmcc
5051:ita-agent 5060:sip 5061:sip-tls,sips 5080:onscreen 5081:sdl-ets 5093:sentinel-lm
5120:barracuda-bbs 5190:aol 5201:targus-getdata1 5222:xmpp-client,jabber-client 5223:hpvirtgrp
5228:hpvroom 5246:capwap-control 5247:capwap-data 5269:xmpp-server,jabber-server 5280:xmpp-bosh
5308:cfengine 5349:stuns 5351:pcp 5353:mdns 5355:llmnr 5357:wsdapi 5358:wsdapi-s 5400:excerpt
5405:netsupport 5431:park-agent 5432:postgresql,postgres 5433:pyrrho 5450:tiepie,tiepie-disc
5473:apsolab-tags 5500:fcp-addr-srvr1 5550:cbus 5554:sgi-esphttp 5555:rplay,personal-agent
5556:freeciv,rptp 5557:farenet 5601:esmagent 5631:pcanywheredata 5632:pcanywherestat 5666:nrpe
5667:nsca 5671:amqps 5672:amqp 5679:dccm 5680:canna,auriga-router 5683:coap 5718:dpm 5750:rscd
5757:x500ms 5900:rfb 5910:ats-atn,cm 5984:couchdb 5985:wsman 5986:wsmans 6000:x11,x11-0 6001:x11-1
6002:x11-2 6003:x11-3 6004:x11-4 6005:x11-5 6006:x11-6 6007:x11-7 6080:gue 6081:geneve
6100:synchronet-db 6123:backup-express 6222:radmind 6346:gnutella-svc 6347:gnutella-rtr 6363:ndn
6379:redis 6389:clariion-evr01 6443:sun-sr-https 6444:sge-qmaster,sge_qmaster
6445:sge-execd,sge_execd 6446:mysql-proxy 6481:servicetags 6500:boks 6501:boks-servc
6502:boks-servm 6513:netconf-tls 6514:syslog-tls 6543:lds-distrib 6566:sane-port,sane,saned
6600:mshvlm 6619:odette-ftps 6620:kftp-data 6633:cisco-vpath-tun 6640:ovsdb 6653:openflow
6667:ircd 6670:vocaltec-gold 6696:babel 6697:ircs-u 6699:babel-dtls 6784:bfd-lag 6788:smc-http
6789:radg 6831:ambit-lm 6888:muse 6900:rtimeviewer 6901:jetstream 6969:acmsoda
7000:bbs,afs3-fileserver 7001:afs3-callback 7002:afs3-prserver 7003:afs3-vlserver
7004:afs3-kaserver 7005:afs3-volser 7006:afs3-errors 7007:afs3-bos 7008:afs3-update
7009:afs3-rmtsys 7010:ups-onlinet 7025:vmsvc-2 7070:arcp 7071:iwg1 7080:empowerid
7100:font-service,xfs 7200:fodms 7201:dlip 7272:watchme-7272 7400:rtps-discovery 7402:rtps-dd-mt
7410:ionixnetmon 7421:mtportmon 7443:oracleas-https 7473:rise 7474:neo4j 7500:silhouette 7547:cwmp
7575:wtmi-panel 7624:indi 7626:simco 7627:soap-http 7676:imqbrokerd 7680:ms-do 7687:bolt
7700:em7-secom 7720:medimageportal 7725:nitrogen 7738:aiagent 7741:scriptview 7744:raqmon-pdu
7777:cbt 7778:interwise 7789:office-tools 7800:asr 7801:ssp-client 7878:owms 7900:mevent
7902:tnos-dp 7979:micromuse-ncps 7980:quest-vista 7997:pushns 7999:irdmi2 8000:irdmi
8001:vcom-tunnel 8002:teradataordbms 8005:mxi 8009:nvme-disc 8021:zope-ftp 8040:ampify
8042:fs-agent 8080:http-alt,webcache 8081:tproxy,sunproxyadmin 8082:us-cli 8083:us-srv 8086:d-s-n
8087:simplifymedia 8088:omniorb,radan-http 8090:opsmessaging 8091:jamlink 8118:privoxy 8140:puppet
8161:patrol-snmp 8181:intermapper 8200:trivnet1 8243:synapse-nhttps 8280:synapse-nhttp 8300:tmi
8301:amberon 8400:cvd 8443:pcsync-https 8444:pcsync-http 8471:pim-port 8472:otv 8500:fmtp
8501:cmtp-av,cmtp-mgt 8600:asterix 8686:sun-as-jmxrmi 8765:ultraseek-http 8787:msgsrvr
8880:cddbp-alt 8883:secure-mqtt 8888:ddi-tcp-1,ddi-udp-1,sunwebadmins 8889:ddi-tcp-2,ddi-udp-2
8899:ospf-lite 8990:clc-build-daemon 9000:cslistener 9001:etlservicemgr 9002:dynamid
9008:ogs-server 9009:pichat 9050:versiera 9060:cardweb-io,cardweb-rt 9080:glrpc 9081:cisco-aqos
9082:lcs-ap 9083:emc-pp-mgmtsvc 9084:aurora 9085:ibm-rsyscon 9086:net2display 9087:classic
9088:sqlexec 9089:sqlexec-ssl 9090:websm 9091:xmltec-xmlmail 9092:xmlipcregsvc 9093:copycat
9098:xinetd 9100:hp-pdl-datastr 9101:bacula-dir 9102:bacula-fd 9103:bacula-sd 9104:peerwire
9105:xadmin 9106:astergate,astergate-disc 9111:hexxorecore 9160:apani1 9191:sun-as-jpda
9200:wap-wsp 9201:wap-wsp-wtp 9202:wap-wsp-s 9203:wap-wsp-wtp-s 9204:wap-vcard 9205:wap-vcal
9206:wap-vcard-s 9207:wap-vcal-s 9292:armtechdaemon 9300:vrace 9306:sphinxql 9312:sphinxapi
9343:mpidcmgr 9400:sec-t4net-srv 9402:sec-pc2fax-srv 9418:git 9443:tungsten-https
9444:wso2esb-console 9500:ismserver 9555:trispen-sra 9600:micromuse-ncpw 9612:streamcomm-ds
9618:condor 9667:xmms2 9673:zope 9700:board-roar 9747:l5nas-parchan 9800:davsrc 9876:sd
9898:monkeycom 9900:iua 9901:enrp,enrp-sctp 9999:distinct 10000:webmin,ndmp 10001:scp-config
10002:documentum 10008:octopus 10009:swdtp-sv 10010:rxapi 10050:zabbix-agent 10051:zabbix-trapper
10080:amanda 10081:kamanda 10082:amandaidx 10083:amidxtape 10100:itap-ddtp 10110:nmea-0183
10113:netiq-endpoint 10443:cirrossp 10809:nbd 11000:irisa 11111:vce 11211:memcache 11371:hkp
12000:entextxid 12345:italk 14250:cps 15000:hydap 17001:sgi-cmsd 17002:sgi-crsd 17003:sgi-gcd
17004:sgi-cad 17500:db-lsp 19283:keysrvr 19999:dnp-sec 20000:dnp 20001:microsan 22125:dcap
22128:gsidcap 22222:easyengine 22273:wnn6 24242:filesphere 24554:binkp 27017:mongodb 27374:asp
30000:ndmps 30001:pago-services1 30002:pago-services2 30003:amicon-fpsu-ra 30004:amicon-fpsu-s
30865:csync2 32768:filenet-tms 32769:filenet-rpc 32770:filenet-nch 32771:filenet-rmi
32772:filenet-pa 32773:filenet-cm 32774:filenet-re 32775:filenet-pch 32776:filenet-peior
32777:filenet-obrok 32801:mlsn 32811:retp 32896:idmgratm 33000:wg-endpt-comms 33060:mysqlx
33123:aurora-balaena 33331:diamondport 33333:dgi-serv 33334:speedtrace,speedtrace-disc
33434:traceroute 33435:mtrace 33656:snip-slave 33890:digilent-adept 34249:turbonote-2
34378:p-net-local 34379:p-net-remote 34567:dhanalakshmi,edi_service 34962:profinet-rt
34963:profinet-rtm 34964:profinet-cm 34980:ethercat 35000:heathview 35001:rt-viewer 35002:rt-sound
35003:rt-devicemapper 35004:rt-classmanager 35005:rt-labtracker 35006:rt-helper 35100:axio-disc
35354:kitim 35355:altova-lm,altova-lm-disc 35356:guttersnex 35357:openstack-id 36001:allpeers
36411:wlcp 36412:s1-control 36422:x2-control 36423:slmap 36424:nq-ap 36443:m2ap 36444:m3ap
36462:xw-control 36524:febooti-aw 36602:observium-agent 36700:mapx 36865:kastenxpipe
37472:3gpp-w1ap 37475:neckar 37483:gdrive-sync 37601:eftp 37654:unisys-eportal 38000:ivs-database
38001:ivs-insertion 38002:cresco-control,crescoctrl-disc 38201:galaxy7-data 38202:fairview
38203:agpolicy 38412:ng-control 38422:xn-control 38462:e1-interface 38472:f1-control 38638:psqlmws
38800:sruth 38865:secrmmsafecopya 39063:vroa 39681:turbonote-1 40000:safetynetp
40023:k-patentssensor 40404:sptx 40841:cscp 40842:csccredir 40843:csccfirewall 40853:ortec-disc
41111:fs-qos 41121:tentacle 41230:z-wave-s 41794:crestron-cip 41795:crestron-ctp
41796:crestron-cips 41797:crestron-ctps 42508:candp 42509:candrp 42510:caerpc 42999:curiosity
43000:recvr-rc,recvr-rc-disc 43188:reachout 43189:ndm-agent-port 43190:ip-provision
43191:noit-transport 43210:shaperai,shaperai-disc 43438:hmip-routing 43439:eq3-config,eq3-update
43440:ew-disc-cmd,ew-mgmt 43441:ciscocsdb 44123:z-wave-tunnel 44321:pmcd 44322:pmcdproxy
44323:pmwebapi 44444:cognex-dataman 44445:acronis-backup 44544:domiq 44553:rbr-debug 44600:asihpi
44818:ethernet-ip-2 44900:m3da,m3da-disc 45000:asmp,asmp-mon 45001:asmps 45002:rs-status
45045:synctest 45054:invision-ag 45514:cloudcheck,cloudcheck-ping 45678:eba 45824:dai-shell
45825:qdb2service 45966:ssr-servermgr 46336:inedo 46998:spremotetablet 46999:mediabox 47000:mbus
47001:winrm 47100:jvl-mactalk 47557:dbbrowse 47624:directplaysrvr 47806:ap 47808:bacnet
47809:presonus-ucnet 48000:nimcontroller 48001:nimspooler 48002:nimhub 48003:nimgtw 48004:nimbusdb
48005:nimbusdbctrl 48048:juka 48049:3gpp-cbsp 48050:weandsf 48128:isnetserv 48129:blp5
48556:com-bardac-dw 48619:iqobject 48653:robotraconteur 49000:matahari 49001:nusdp-disc,nusrp
49150:inspider 57000:dircproxy 60177:tfido 60179:fido
`;

const portByName = new Map(
  SERVICES.trim()
    .split(/\s+/)
    .flatMap((entry) => {
      const [port = "", names = ""] = entry.split(":");
      return names.split(",").map((name): [string, number] => [name, Number(port)]);
    }),
);

/** The port that a label stands for, a number or a service name; undefined when nobody knows it. */
export function servicePort(label: string): number | undefined {
  if (/^\d{1,5}$/.test(label)) {
    const port = Number(label);
    return port <= 0xffff ? port : undefined;
  }
  return portByName.get(label.toLowerCase());
}
