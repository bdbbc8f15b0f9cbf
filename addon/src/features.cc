#include "features.h"
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>
#include <linux/genetlink.h>
#include <sys/socket.h>
#include "arguments.h"
#include "descriptor.h"
#include "errors.h"

namespace
{
/* linux/netdev.h, which is younger than the headers of the oldest distribution that this builds on. */
constexpr uint8_t kDeviceGet = 1;
constexpr uint16_t kIfindex = 1;
constexpr uint16_t kXdpFeatures = 3;

/* A request with one attribute, as generic netlink lays it out. */
std::vector<uint8_t> Request(uint16_t family, uint8_t command, uint16_t type, const void *value, size_t size)
{
	nlattr attribute = {static_cast<uint16_t>(NLA_HDRLEN + size), type};
	size_t length = NLMSG_LENGTH(GENL_HDRLEN) + NLA_ALIGN(attribute.nla_len);
	nlmsghdr header = {};
	header.nlmsg_len = static_cast<uint32_t>(length);
	header.nlmsg_type = family;
	header.nlmsg_flags = NLM_F_REQUEST;
	genlmsghdr generic = {command, 1, 0};

	std::vector<uint8_t> message(length);
	memcpy(message.data(), &header, sizeof header);
	memcpy(message.data() + NLMSG_HDRLEN, &generic, sizeof generic);
	memcpy(message.data() + NLMSG_LENGTH(GENL_HDRLEN), &attribute, sizeof attribute);
	memcpy(message.data() + NLMSG_LENGTH(GENL_HDRLEN) + NLA_HDRLEN, value, size);
	return message;
}

/* An integer of the answer's attribute of that type; zero when it has none. Throws what the kernel answers.
 */
uint64_t Ask(int socket, const std::vector<uint8_t> &request, uint16_t type, const std::string &detail)
{
	uint8_t answer[8192];
	ssize_t length = -1;
	if (send(socket, request.data(), request.size(), 0) >= 0)
		length = recv(socket, answer, sizeof answer, 0);
	if (length < 0)
		throw Failure(errno, "netlink", detail);

	nlmsghdr header = {};
	memcpy(&header, answer, sizeof header);
	size_t end = std::min<size_t>(header.nlmsg_len, static_cast<size_t>(length));
	if (header.nlmsg_type == NLMSG_ERROR) {
		nlmsgerr error = {};
		memcpy(&error, answer + NLMSG_HDRLEN, sizeof error);
		throw Failure(-error.error, "netlink", detail);
	}
	for (size_t at = NLMSG_LENGTH(GENL_HDRLEN); at + NLA_HDRLEN <= end;) {
		nlattr attribute;
		memcpy(&attribute, answer + at, sizeof attribute);
		if (attribute.nla_len < NLA_HDRLEN || at + attribute.nla_len > end)
			break;
		if (attribute.nla_type == type) {
			/* In host order: the family's number has 16 bits, the features have 64. */
			uint64_t wide = 0;
			uint16_t narrow = 0;
			bool isNarrow = attribute.nla_len == NLA_HDRLEN + sizeof narrow;
			if (isNarrow)
				memcpy(&narrow, answer + at + NLA_HDRLEN, sizeof narrow);
			else if (attribute.nla_len == NLA_HDRLEN + sizeof wide)
				memcpy(&wide, answer + at + NLA_HDRLEN, sizeof wide);
			return isNarrow ? narrow : wide;
		}
		at += NLA_ALIGN(attribute.nla_len);
	}
	return 0;
}
} // namespace

Napi::Value XdpFeatures(const Napi::CallbackInfo &info)
{
	uint32_t ifindex = static_cast<uint32_t>(IfindexArgument(info[0]));
	Descriptor link(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
	if (!link)
		throw Failure(errno, "socket", "(netlink)");

	const char name[] = "netdev";
	auto family = static_cast<uint16_t>(
	        Ask(link.get(),
	            Request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, name, sizeof name),
	            CTRL_ATTR_FAMILY_ID, "(family 'netdev')"));
	uint64_t features = Ask(link.get(), Request(family, kDeviceGet, kIfindex, &ifindex, sizeof ifindex),
	                        kXdpFeatures, "(ifindex " + std::to_string(ifindex) + ")");
	return Napi::Number::New(info.Env(), static_cast<double>(features));
}
